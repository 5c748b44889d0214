"""Machines without test clips, or without labels: the first day of a plant."""

import csv
import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from collab_asd.cli.main import app

MACHINES = ["fan/00", "fan/01", "fan/02"]


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


@pytest.fixture
def data(machines, listing, tmp_path):
    """Writes a listing of the recordings that pass, without their labels if wished."""

    def write(passes, labels=True):
        file = listing(machines, tmp_path / "clips.csv", lambda machine: "fan")
        header, *lines = csv.reader(file.read_text().splitlines())
        rows = [line if labels else [*line[:-1], ""] for line in lines if passes(machine=line[2], split=line[3])]
        with file.open("w", newline="") as opened:
            csv.writer(opened).writerows([header, *rows])
        return file

    return write


@pytest.fixture
def run(cache, tmp_path):
    def start(data, *more, out="out"):
        fixed = ["--encoder", "logmel", "--set", f"cache-dir={cache}", "--set", "epochs=1", "--out", tmp_path / out]
        result = call("run", "--data", data, *fixed, *more)
        assert result.exit_code == 0, result.output
        return tmp_path / out, result.output

    return start


def only_training(machine, split):
    return split == "train"


@pytest.mark.parametrize(
    "method",
    [
        [],
        ["--method", "local-mahalanobis"],
        ["--method", "fedavg", "--set", "rounds=1"],
        ["--set", "partition=iid", "--set", "clients=1", "--set", "min-clients=1"],
    ],
)
def test_training_clips_alone_make_detectors_and_say_how_to_use_them(data, machines, run, method):
    folder, output = run(data(only_training), *method)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["auc"]["by_id"] == dict.fromkeys(MACHINES)
    assert (summary["auc"]["total"], summary["recall"], summary["false_alarm_rate"]) == (None, None, None)
    assert len((folder / "scores.csv").read_text().splitlines()) == 1
    (command,) = re.findall(r"collab-asd (score .*) NEW-RECORDINGS", output)
    assert f"{command} NEW-RECORDINGS" in (folder / "report.html").read_text()
    scored = call(*shlex.split(command), machines / "fan" / "test" / "anomaly_id_00_00000000.wav")
    assert scored.exit_code == 0, scored.output
    for card in folder.rglob("detector.json"):
        threshold = json.loads(card.read_text())["card"]["threshold"]
        assert f"{threshold:.3g}" in output


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--set", "inference=server"], "--set inference=client"),
        (["--method", "local-vae"], "--method local-mahalanobis"),
    ],
)
def test_a_run_that_keeps_no_detector_says_which_does(data, run, options, advice):
    folder, output = run(data(only_training), *options)
    assert advice in output
    assert advice in (folder / "report.html").read_text()
    assert "collab-asd score" not in output


def test_some_machines_have_test_clips_and_the_others_a_next_step(data, run):
    folder, output = run(data(lambda machine, split: split == "train" or machine != "01"))
    by_id = json.loads((folder / "summary.json").read_text())["auc"]["by_id"]
    assert [machine for machine in MACHINES if by_id[machine] is None] == ["fan/01"]
    assert "detectors/fan_id_01 NEW-RECORDINGS" in output
    assert {"fan/00", "fan/01", "fan/02"} <= set(re.findall(r"fan/\d\d", output))


def test_clips_without_labels_are_judged_and_counted(data, run):
    folder, output = run(data(lambda machine, split: True, labels=False))
    with (folder / "scores.csv").open(newline="") as file:
        alarms = sum(int(row["decision"]) for row in csv.DictReader(file))
    assert f"{alarms} of 36 " in output
    assert "No test recordings" not in output
    assert f"{alarms} of 36" in (folder / "report.html").read_text()


def test_what_reads_result_folders_reads_these(data, run, larger_machines, tmp_path):
    listed = data(only_training)
    shared, _ = run(listed, "--set", "record-view=true")
    local, _ = run(listed, "--method", "local-knn", out="local")
    compared = call("report", shared, local, "--out", tmp_path / "both")
    assert compared.exit_code == 0, compared.output
    audited = call("audit", shared, "--quick", "--data", larger_machines, "--json", "--quiet")
    assert audited.exit_code == 0, audited.output
    assert any("test clips" in missing for missing in json.loads(audited.stdout)["missing"])


def test_a_comparison_of_runs_without_figures(data, cache, tmp_path):
    experiment = tmp_path / "first.toml"
    experiment.write_text(
        'name = "first"\nmethods = ["embedding-sharing", "local-knn"]\nencoders = ["logmel"]\nseeds = [0]\n'
        'scorers = ["fusion"]\n'
    )
    fixed = ["--set", f"cache-dir={cache}", "--set", "epochs=1", "--out", tmp_path / "compared", "--json"]
    result = call("compare", experiment, "--data", data(only_training), *fixed, "--quiet")
    assert result.exit_code == 0, result.output
    assert [row["auc"] for row in json.loads(result.stdout)["rows"]] == [None, None]
    assert (tmp_path / "compared" / "report.html").exists()
