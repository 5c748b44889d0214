"""What a comparison will send, held against closed forms and against what runs count."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from collab_asd.classifier.model import ClassifierSettings
from collab_asd.cli.main import app
from collab_asd.config import RunConfig
from collab_asd.core.registry import load
from collab_asd.encoders import ENCODERS
from collab_asd.experiments.cost import encodings, forecast, holdings, recordings
from collab_asd.experiments.experiment import Experiment
from collab_asd.federation.engines import run_inprocess
from collab_asd.methods import METHODS
from collab_asd.methods.costs import model_arrays


def sent_by(config, found):
    describe_costs = load(METHODS.find(config.method).describe_costs)
    return describe_costs(config, ENCODERS.find(config.encoder), holdings(config, found))


REQUESTS = 500  # bytes of messages of a few numbers, which no forecast counts


def test_arrays_of_the_light_network():
    weights = 128 * 512 + 512 * 512 + 512 * 128
    norms = 4 * (512 + 512 + 128)
    standardisation, directions, counts = 2 * 128, 128 * 4, 3
    arrays = model_arrays(ClassifierSettings("light", 128, 64, 8, 4))
    assert arrays.size == 4 * (weights + norms + standardisation + directions) + 8 * counts
    assert arrays.count == 3 + 3 * 5 + 3


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("embedding-sharing", {}),
        ("embedding-sharing", {"inference": "server"}),
        ("embedding-sharing", {"codec": "fp32", "page_megabytes": 0.3}),
        ("embedding-sharing", {"codec": "pool:2+fp16"}),
        ("fedavg", {"rounds": 2}),
        ("fedavg", {"rounds": 2, "normalization": "group"}),
        ("split-learning", {"rounds": 2}),
        ("split-learning", {"rounds": 2, "optimizer": "sgd"}),
        ("splitfed", {"rounds": 2}),
        ("local-knn", {}),
    ],
)
def test_bytes_are_those_that_a_run_counts(machines, cache, tmp_path, method, settings):
    config = RunConfig(
        method=method,
        **{"encoder": "logmel"} | settings,
        data_dir=str(machines),
        cache_dir=str(cache),
        results_dir=str(tmp_path / "run"),
        epochs=1,
        report=False,
    )
    summary = json.loads((run_inprocess(config, 3) / "summary.json").read_text())
    sent = sent_by(config, recordings(str(machines), config, 0))
    assert sent.up == pytest.approx(sum(summary["bytes_up"].values()), rel=0.02)
    assert sent.down == pytest.approx(sum(summary["bytes_down"].values()), rel=0.02, abs=REQUESTS)


def test_clips_are_divided_as_a_run_divides_them(larger_machines):
    config = RunConfig(data_dir=str(larger_machines), calibration=0.5)
    held = holdings(config, recordings(str(larger_machines), config, 0))
    assert [(h.client, h.group, h.machine_class) for h in held] == [(0, 0, 0), (1, 0, 1), (2, 0, 2)]
    assert {(len(h.train), len(h.calibration), len(h.test)) for h in held} == {(12, 12, 16)}
    assert {seconds for h in held for seconds in h.all} == {4.0}


def test_the_benchmark_is_known_without_its_recordings():
    held = holdings(RunConfig(calibration=0.0), recordings("", RunConfig(), 0))
    assert len(held) == 23
    assert len({holding.group for holding in held}) == 6
    assert sum(len(holding.train) for holding in held) == 20_119
    assert sum(sum(holding.test) for holding in held) == 10 * 10_868


def test_synthetic_machines_are_not_made_to_be_counted(tmp_path):
    held = holdings(RunConfig(cache_dir=str(tmp_path), calibration=0.0), recordings("", RunConfig(), 6))
    assert [(len(h.train), len(h.test)) for h in held] == [(60, 60)] * 6
    assert not list(tmp_path.iterdir())


def cells_of(scorers, tmp_path, **changes):
    experiment = Experiment("x", ("embedding-sharing",), ("logmel",), scorers, machines=6)
    return [replace(cell, config=replace(cell.config, **changes)) for cell in experiment.cells(tmp_path)]


def test_what_is_finished_costs_nothing(tmp_path):
    cells = cells_of(("knn", "lof"), tmp_path)
    cells[0].folder.mkdir(parents=True)
    (cells[0].folder / "summary.json").touch()
    found = recordings("", RunConfig(), 6)
    assert [one.runs for one in forecast(cells, found)] == [1]
    cells[1].folder.mkdir()
    (cells[1].folder / "summary.json").touch()
    assert forecast(cells, found) == []


def test_bytes_are_those_of_one_run_on_average(tmp_path):
    found = recordings("", RunConfig(), 6)
    once, whole = (cells_of(("knn",), tmp_path, epochs=1, codec=codec) for codec in ("fp16", "fp32"))
    sent = [sent_by(cell.config, found) for cell in once + whole]
    (mean,) = forecast(once + whole, found)
    assert (mean.runs, mean.bytes_up) == (2, (sent[0].up + sent[1].up) / 2)
    assert sent[1].up > 1.9 * sent[0].up


def test_a_method_that_does_not_say_has_no_bytes(tmp_path, monkeypatch):
    spec = replace(METHODS.find("embedding-sharing"), describe_costs=None)
    monkeypatch.setattr(METHODS, "find", lambda name: spec)
    (silent,) = forecast(cells_of(("knn",), tmp_path), recordings("", RunConfig(), 6))
    assert (silent.runs, silent.bytes_up, silent.bytes_down) == (1, None, None)


def test_dry_run_says_what_is_sent_and_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("COLLAB_ASD_WEIGHTS", raising=False)
    (tmp_path / "x.toml").write_text(
        'name = "x"\nmethods = ["embedding-sharing", "local-knn"]\nencoders = ["yamnet", "logmel"]\nscorers = ["knn"]'
    )
    arguments = [str(tmp_path / "x.toml"), "--out", str(tmp_path), "--set", f"cache-dir={tmp_path}", "--dry-run"]
    shown = CliRunner().invoke(app, ["compare", *arguments])
    assert shown.exit_code == 0, shown.output
    for words in ("MB up", "DCASE 2020's development clips", "collab-asd encoders fetch yamnet"):
        assert words in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["compare", *arguments, "--json"]).stdout)["forecast"]
    assert [one["runs"] for one in told["runs"]] == [1] * 4
    assert "--data DIR" in told["missing"][0]
    assert "weights of yamnet (15.3 MB)" in told["missing"][1]
    assert told["device"] == "cpu"
    hours = {one["encoder"]: (one["times"], one["hours"]) for one in told["encoding"]}
    assert hours["yamnet"] == (1, None)
    assert 0 < hours["logmel"][1] < 24


def test_encoding_is_measured_once_for_each_draw_of_weights(tmp_path):
    experiment = Experiment(
        "x", ("local-knn",), ("random-conv", "logmel", "openl3-6144", "openl3-512"), ("knn",), (0, 1)
    )
    seen = []
    _, listed = encodings(
        experiment.cells(tmp_path), recordings("", RunConfig(), 2), lambda config: seen.append(config)
    )
    assert [(one.encoder, one.times, one.hours) for one in listed] == [
        ("random-conv", 2, None), ("logmel", 1, None), ("openl3-6144", 1, None),
    ]  # fmt: skip
    assert [config.encoder for config in seen] == ["random-conv", "logmel", "openl3-6144"]
