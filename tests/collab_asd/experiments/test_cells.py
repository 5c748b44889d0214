"""Comparisons: what is run, what is not run again, what is refused, and what is written down."""

import csv
import json
import shutil
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.experiments import runner as module
from collab_asd.experiments.experiment import Cell, Experiment
from collab_asd.experiments.results import collect
from collab_asd.experiments.runner import compare, require_possible

LOCAL = ("local-knn", "local-mahalanobis")


@pytest.fixture
def experiment(machines, cache):
    """Return four cells that take a second: two methods, two seeds, nothing shared."""
    settings = {"epochs": 1, "cache-dir": str(cache)}
    return Experiment("small", LOCAL, ("logmel",), ("knn",), (0, 1), data_dir=str(machines), settings=settings)


def content(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def states(cells):
    return [cell.state for cell in cells]


def breaking(monkeypatch, broken, error):
    """Let one cell raise an error in the middle of its run."""
    run = module.run_inprocess

    def run_or_break(config, clients):
        if config.results_dir.endswith(broken):
            raise error
        return run(config, clients)

    monkeypatch.setattr(module, "run_inprocess", run_or_break)


def test_interrupted_comparison_goes_on_and_repeats_nothing(experiment, tmp_path, monkeypatch):
    cells = experiment.cells(tmp_path)
    with monkeypatch.context() as patch:
        breaking(patch, "local-mahalanobis-logmel-mahalanobis-0", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            compare(cells, 3, tmp_path)
    assert states(cells) == ["finished", "to do", "to do", "to do"]
    before = content(cells[0].folder)
    compare(cells, 3, tmp_path)
    assert states(cells) == ["finished"] * 4
    assert content(cells[0].folder) == before


def test_a_cell_that_was_killed_half_way_is_taken_up_again(experiment, tmp_path):
    cells = experiment.cells(tmp_path)[:1]
    compare(cells, 3, tmp_path)
    whole = (cells[0].folder / "scores.csv").read_bytes()
    for name in ("summary.json", "scores.csv"):
        (cells[0].folder / name).unlink()
    assert states(cells) == ["begun"]
    compare(cells, 3, tmp_path)
    assert (cells[0].folder / "scores.csv").read_bytes() == whole


def test_a_cell_that_was_killed_as_it_began_is_taken_up_again(experiment, tmp_path):
    cells = experiment.cells(tmp_path)[:1]
    cells[0].folder.mkdir(parents=True)
    (cells[0].folder / "manifest.csv").write_text("client,mach")
    (cells[0].folder / ".config.json.0123.part").write_text("{")
    compare(cells, 3, tmp_path)
    assert states(cells) == ["finished"]


@pytest.mark.parametrize(
    ("error", "first_line"),
    [(ZeroDivisionError("by nothing"), "ZeroDivisionError: by nothing"), (InputError("no such key"), "no such key")],
)
def test_a_cell_that_fails_is_kept_and_the_others_finish(experiment, tmp_path, monkeypatch, error, first_line):
    cells = experiment.cells(tmp_path)
    with monkeypatch.context() as patch:
        breaking(patch, "local-knn-logmel-knn-0", error)
        compare(cells, 3, tmp_path)
    assert states(cells) == ["failed", "finished", "finished", "finished"]
    assert cells[0].error == first_line
    assert ("Traceback" in cells[0].error_file.read_text()) == isinstance(error, ZeroDivisionError)
    comparison = collect(experiment, cells)
    assert not comparison.complete
    assert [(row.method, row.seeds) for row in comparison.rows] == [("local-knn", (1,)), ("local-mahalanobis", (0, 1))]
    compare(cells, 3, tmp_path)
    assert states(cells) == ["finished"] * 4
    assert not cells[0].error_file.exists()


def test_what_was_said_before_a_failure_is_kept_with_it(experiment, tmp_path, monkeypatch):
    def broken(client, config, content):
        raise InputError("the microphone was off")

    monkeypatch.setattr("baselines.local.strategy.score", broken)
    cells = experiment.cells(tmp_path)[:1]
    compare(cells, 3, tmp_path)
    error = cells[0].error_file.read_text()
    assert cells[0].error.startswith("client 0: InputError in evaluate.score")
    assert "client 2: the microphone was off" in error


def test_clips_that_changed_since_are_named_and_nothing_is_run(experiment, machines, tmp_path):
    shutil.copytree(machines, tmp_path / "data")
    changed = Experiment(**vars(experiment) | {"data_dir": str(tmp_path / "data")})
    first, *others = cells = changed.cells(tmp_path / "out")
    compare([first], 3, tmp_path / "out")
    clip = tmp_path / "data" / "fan" / "train" / "normal_id_01_00000003.wav"
    sound = bytearray(clip.read_bytes())
    sound[-2] ^= 1
    clip.write_bytes(sound)
    with pytest.raises(InputError, match=r"other clips \(changed: fan/train/normal_id_01_00000003\.wav"):
        compare(cells, 3, tmp_path / "out")
    assert states(others) == ["to do"] * 3


def test_finished_cells_of_other_settings_are_refused_and_left_alone(experiment, tmp_path):
    cells = experiment.cells(tmp_path)
    compare(cells[:1], 3, tmp_path)
    before = content(cells[0].folder)
    with pytest.raises(InputError, match="begun with another false-alarm-rate"):
        compare(experiment.cells(tmp_path, {"false-alarm-rate": "0.2"}), 3, tmp_path)
    assert content(cells[0].folder) == before
    assert states(cells[1:]) == ["to do"] * 3


def test_a_failed_cell_begins_anew_with_the_settings_that_mend_it(experiment, tmp_path):
    (cell,) = experiment.cells(tmp_path)[:1]
    compare([cell], 3, tmp_path)
    (cell.folder / "summary.json").unlink()
    cell.fail("the false-alarm rate does not please")
    (mended,) = experiment.cells(tmp_path, {"false-alarm-rate": "0.2"})[:1]
    compare([mended], 3, tmp_path)
    assert json.loads((mended.folder / "config.json").read_text())["false-alarm-rate"] == 0.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "magic"}, "method 'magic' does not exist"),
        ({"encoder": "wav2vec"}, "encoder 'wav2vec' does not exist"),
        ({"scorer": "svm"}, "scorer 'svm' does not exist"),
    ],
)
def test_what_does_not_exist_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        require_possible([Cell(RunConfig()), Cell(RunConfig(**change))])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"encoder-weights": __file__}, "'logmel' takes none"),
        ({"cache-dir": "CACHE", "data-dir": "/nowhere"}, "/nowhere"),
    ],
)
def test_the_impossible_is_refused_before_any_cell(experiment, tmp_path, settings, words):
    values = [cell.config.to_mapping() for cell in experiment.cells(tmp_path)]
    cells = [Cell(RunConfig.from_mapping(v)) for v in (*values[:3], values[3] | settings)]
    with pytest.raises(InputError, match=words):
        compare(cells, 3, tmp_path)
    assert states(cells) == ["to do"] * 4


def test_two_processes_do_not_work_on_one_comparison(experiment, tmp_path):
    hold = "from filelock import FileLock; lock = FileLock('.lock'); lock.acquire(); print('held', flush=True); input()"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as other:
        other.stdout.readline()
        with pytest.raises(InputError, match="another process is at work"):
            compare(experiment.cells(tmp_path), 3, tmp_path)
        other.kill()
    compare(experiment.cells(tmp_path)[:1], 3, tmp_path)  # the lock died with it


# --- through the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def call(machines, cache, tmp_path):
    """Call ``collab-asd compare`` on the machines with a file of these lines."""

    def call(lines, *more):
        file = tmp_path / "small.toml"
        file.write_text(f'name = "small"\nencoders = ["logmel"]\n{lines}')
        fixed = ["--data", machines, "--out", tmp_path / "out", "--set", f"cache-dir={cache}", "--set", "epochs=1"]
        return CliRunner().invoke(app, [str(a) for a in ("compare", file, *fixed, *more)], env={"COLUMNS": "200"})

    return call


WHOLE = """
methods = ["embedding-sharing", "local-mahalanobis"]
scorers = ["fusion", "knn"]
seeds = [0, 1]
"""


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_whole_comparison(call, tmp_path):
    listed = call(WHOLE, "--dry-run")
    assert listed.exit_code == 0, listed.output
    assert "6 cells, 0 finished, 6 to run" in listed.output
    assert not (tmp_path / "out").exists()

    result = call(WHOLE)
    assert result.exit_code == 0, result.output
    for word in ("embedding-sharing", "local-mahalanobis", "fusion", "minus sharing", "MB sent", "report.html"):
        assert word in result.output
    out = tmp_path / "out"
    table = rows(out / "table.csv")
    assert [row["state"] for row in table] == ["finished"] * 6
    summary = json.loads((out / "cells" / "embedding-sharing-logmel-knn-1" / "summary.json").read_text())
    (cell,) = (row for row in table if (row["scorer"], row["seed"]) == ("knn", "1"))
    assert float(cell["auc"]) == summary["auc"]["total"]
    assert int(cell["bytes_up"]) == sum(summary["bytes_up"].values())

    lines = rows(out / "comparison.csv")
    assert [(row["method"], row["scorer"], row["seeds"]) for row in lines] == [
        ("embedding-sharing", "fusion", "0 1"),
        ("embedding-sharing", "knn", "0 1"),
        ("local-mahalanobis", "mahalanobis", "0 1"),
    ]
    aucs = [[float(row["auc"]) for row in table if row["scorer"] == scorer] for scorer in ("fusion", "mahalanobis")]
    assert float(lines[2]["auc_mean"]) == pytest.approx(sum(aucs[1]) / 2)
    expected = (aucs[1][0] - aucs[0][0] + aucs[1][1] - aucs[0][1]) / 2
    assert float(lines[2]["auc_minus_embedding_sharing_mean"]) == pytest.approx(expected)
    assert lines[0]["auc_minus_embedding_sharing_mean"] == ""
    assert (out / "comparison.tex").read_text().count(r"\\") == 4
    page = (out / "report.html").read_text()
    for word in ("local-mahalanobis", "Mean AUC of each method", summary["manifest_sha256"], "fan/02"):
        assert word in page
    assert "http" not in page.replace("http://www.w3.org", "")
    for name in ("auc_by_method", "auc_against_bytes"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 1000

    again = call(WHOLE, "--dry-run", "--json")
    assert {cell["state"] for cell in json.loads(again.stdout)["cells"]} == {"finished"}


def test_failed_cell_is_in_the_table_and_in_the_exit_code(call, tmp_path, monkeypatch):
    breaking(monkeypatch, "local-knn-logmel-knn-0", ZeroDivisionError("by nothing"))
    result = call('methods = ["local-knn", "local-mahalanobis"]')
    assert result.exit_code == 2
    assert "ZeroDivisionError: by nothing" in result.output
    table = rows(tmp_path / "out" / "table.csv")
    assert [(row["state"], row["error"]) for row in table] == [
        ("failed", "ZeroDivisionError: by nothing"),
        ("finished", ""),
    ]
    assert "ZeroDivisionError: by nothing" in (tmp_path / "out" / "report.html").read_text()


def test_one_method_under_two_names_makes_two_rows(call, tmp_path):
    result = call(
        'methods = ["embedding-sharing", "at-server"]\nscorers = ["knn"]\n'
        '[method-settings.at-server]\nmethod = "embedding-sharing"\ninference = "server"'
    )
    assert result.exit_code == 0, result.output
    first, second = rows(tmp_path / "out" / "comparison.csv")
    assert (first["method"], second["method"]) == ("embedding-sharing", "at-server")
    assert float(second["auc_minus_embedding_sharing_mean"]) == pytest.approx(0, abs=1e-6)  # Algorithms 1 and 2
    assert float(second["bytes_sent_mean"]) != float(first["bytes_sent_mean"])
    assert "Settings of its own: inference = server." in (tmp_path / "out" / "report.html").read_text()


def test_nothing_finished_is_no_reason_to_break(call, tmp_path, monkeypatch):
    breaking(monkeypatch, "local-knn-logmel-knn-0", ZeroDivisionError("by nothing"))
    assert call('methods = ["local-knn"]').exit_code == 2
    assert "cannot be said" in (tmp_path / "out" / "report.html").read_text()


def test_statistics_as_json(call):
    result = call('methods = ["local-knn"]', "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [cell["state"] for cell in found["cells"]] == ["finished"]
    assert found["rows"][0]["auc"]["n"] == 1
    assert found["rows"][0]["auc"]["half_width"] is None


@pytest.mark.parametrize(
    ("lines", "more", "words"),
    [
        ('methods = ["magic"]', [], ["method 'magic'"]),
        ('methods = ["local-knn"]\nscorers = ["svm"]', ["--dry-run"], ["scorer 'svm'"]),
        ('methods = ["local-knn"]', ["--weights", "yamnet=/w.h5"], ["--weights", "'yamnet'", "logmel"]),
        ('methods = ["local-knn"]', ["--weights", f"logmel={__file__}"], ["'logmel' takes none"]),
        ('methods = ["local-knn"]', ["--set", "seed=3"], ["'seed'", "seeds"]),
        ('methods = ["local-knn"]', ["--data", "/nowhere"], ["/nowhere"]),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(call, tmp_path, lines, more, words):
    result = call(lines, *more)
    assert all(word in result.output for word in words), result.output
    assert "Traceback" not in result.output
    assert result.exit_code == (2 if words else 0)
    assert not list(tmp_path.glob("out/cells/*"))


@pytest.mark.slow
def test_killed_in_the_middle_with_two_processes_and_started_again(machines, cache, tmp_path):
    file, out = tmp_path / "small.toml", tmp_path / "out"
    file.write_text(f'name = "small"\nencoders = ["logmel"]\n{WHOLE}')
    command = [
        sys.executable,
        "-m",
        "collab_asd.cli.main",
        "compare",
        file,
        "--data",
        machines,
        "--out",
        out,
        "--jobs",
        "2",
    ]
    command += ["--set", f"cache-dir={cache}", "--set", "epochs=1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 300
        while not list(out.glob("cells/*/summary.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        killed.kill()  # its own processes die a moment later
    finished = {path.parent: content(path.parent) for path in out.glob("cells/*/summary.json")}
    assert 0 < len(finished) < 6
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert len(list(out.glob("cells/*/summary.json"))) == 6
    assert {folder: content(folder) for folder in finished} == finished
