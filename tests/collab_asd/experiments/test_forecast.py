"""What a comparison will cost, held against closed forms and against what runs count."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from collab_asd.classifier.model import ClassifierSettings
from collab_asd.cli.main import app
from collab_asd.config import RunConfig
from collab_asd.core.registry import load
from collab_asd.encoders import ENCODERS
from collab_asd.experiments.cost import Speed, encodings, forecast
from collab_asd.experiments.experiment import Cell, Experiment
from collab_asd.experiments.holdings import holdings, recordings
from collab_asd.federation.engines import run_inprocess
from collab_asd.methods import METHODS
from collab_asd.methods.costs import model_arrays, model_cost


def costs(config, found):
    describe_costs = load(METHODS.find(config.method).describe_costs)
    return describe_costs(config, ENCODERS.find(config.encoder), holdings(config, found))


REQUESTS = 500  # bytes of messages of a few numbers, which no forecast counts


def test_multiply_accumulates_of_the_light_network():
    forward = 128 * 512 + 512 * 512 + 512 * 128
    cost = model_cost(ClassifierSettings("light", 128, 64, 8, 4))
    assert cost.scoring == forward
    assert cost.training == 3 * forward - 128 * 512  # nobody asks for the gradient of the input


def test_arrays_of_the_light_network():
    weights = 128 * 512 + 512 * 512 + 512 * 128
    norms = 4 * (512 + 512 + 128)
    standardisation, directions, counts = 2 * 128, 128 * 4, 3
    arrays = model_arrays(ClassifierSettings("light", 128, 64, 8, 4))
    assert arrays.size == 4 * (weights + norms + standardisation + directions) + 8 * counts
    assert arrays.count == 3 + 3 * 5 + 3


def test_seconds_are_those_of_the_work_and_of_the_steps():
    assert Speed(10, share=0.5, step=0.1).seconds(5e9, steps=3) == pytest.approx(1.3)


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
    sent = costs(config, recordings(str(machines), 0, 0)).sent
    assert sent.up == pytest.approx(sum(summary["bytes_up"].values()), rel=0.02)
    assert sent.down == pytest.approx(sum(summary["bytes_down"].values()), rel=0.02, abs=REQUESTS)


def test_clips_are_divided_as_a_run_divides_them(larger_machines):
    config = RunConfig(data_dir=str(larger_machines), calibration=0.5)
    held = holdings(config, recordings(str(larger_machines), 0, 0))
    assert [(h.client, h.group, h.machine_class) for h in held] == [(0, 0, 0), (1, 0, 1), (2, 0, 2)]
    assert {(len(h.train), len(h.calibration), len(h.test)) for h in held} == {(12, 12, 16)}
    assert {seconds for h in held for seconds in h.all} == {4.0}


def test_the_benchmark_is_known_without_its_recordings():
    held = holdings(RunConfig(calibration=0.0), recordings("", 0, 0))
    assert len(held) == 23
    assert len({holding.group for holding in held}) == 6
    assert sum(len(holding.train) for holding in held) == 20_119
    assert sum(sum(holding.test) for holding in held) == 10 * 10_868


def test_synthetic_machines_are_not_made_to_be_counted(tmp_path):
    held = holdings(RunConfig(cache_dir=str(tmp_path), calibration=0.0), recordings("", 0, 6))
    assert [(len(h.train), len(h.test)) for h in held] == [(60, 60)] * 6
    assert not list(tmp_path.iterdir())


def test_every_window_counts_under_the_preset_of_the_paper():
    """13 windows of 8 of YAMNet's 20 frames; two types of three machines with 60 clips each; 20 epochs."""
    config = RunConfig(encoder="yamnet", preset="paper", calibration=0.0)
    found = recordings("", 0, 6)
    window = model_cost(ClassifierSettings("mobilefacenet", 1024, 8, 1, 3)).training + 175 * 8 * 1024
    work = costs(config, found).work
    assert work.server_macs == pytest.approx(20 * 6 * 60 * 13 * window)
    assert work.server_steps == 2 * 20 * (3 * 60 * 13 // 32)


def cells_of(scorers, tmp_path, **changes):
    experiment = Experiment("x", ("embedding-sharing",), ("logmel",), scorers, machines=6)
    return [replace(cell, config=replace(cell.config, **changes)) for cell in experiment.cells(tmp_path)]


def test_what_one_scorer_has_trained_the_next_one_finds(tmp_path):
    found, speed = recordings("", 0, 6), Speed(50)
    (alone,) = forecast(cells_of(("knn",), tmp_path), found, speed)
    (both,) = forecast(cells_of(("knn", "lof"), tmp_path), found, speed)
    config = cells_of(("knn",), tmp_path)[0].config
    work = costs(config, found).work
    assert (alone.runs, both.runs) == (1, 2)
    assert 3600 * (2 * alone.hours - both.hours) == pytest.approx(speed.seconds(work.server_macs, work.server_steps))


def test_what_is_finished_costs_nothing(tmp_path):
    cells = cells_of(("knn", "lof"), tmp_path)
    cells[0].folder.mkdir(parents=True)
    (cells[0].folder / "summary.json").touch()
    found = recordings("", 0, 6)
    assert [one.runs for one in forecast(cells, found, Speed(50))] == [1]
    cells[1].folder.mkdir()
    (cells[1].folder / "summary.json").touch()
    assert forecast(cells, found, Speed(50)) == encodings(cells, found, Speed(50)) == []


def test_each_key_encodes_anew_and_short_frames_come_from_long_ones():
    found, speed = recordings("", 0, 6), Speed(80)
    cells = [
        Cell(RunConfig(encoder=encoder, seed=seed))
        for encoder in ("random-conv", "openl3-6144", "openl3-512", "logmel")
        for seed in (0, 1)
    ]
    hours = {one.encoder: (one.times, one.hours) for one in encodings(cells, found, speed)}
    assert {name: times for name, (times, _) in hours.items()} == {"random-conv": 2, "openl3-6144": 1, "logmel": 1}
    work = ENCODERS.find("openl3-6144").work
    assert hours["openl3-6144"][1] == pytest.approx(6 * 120 * 10 * work / 80 / 3600)


def test_dry_run_says_what_it_costs_and_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("COLLAB_ASD_WEIGHTS", raising=False)
    (tmp_path / "x.toml").write_text(
        'name = "x"\nmethods = ["embedding-sharing", "local-knn"]\nencoders = ["yamnet", "logmel"]\nscorers = ["knn"]'
    )
    arguments = [str(tmp_path / "x.toml"), "--out", str(tmp_path), "--set", f"cache-dir={tmp_path}", "--dry-run"]
    shown = CliRunner().invoke(app, ["compare", *arguments])
    assert shown.exit_code == 0, shown.output
    for words in ("all, with encoding", "DCASE 2020's development clips", "collab-asd encoders fetch yamnet"):
        assert words in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["compare", *arguments, "--json"]).stdout)["forecast"]
    assert [one["runs"] for one in told["runs"]] == [1] * 4
    assert "--data DIR" in told["missing"][0]
    assert "weights of yamnet (15.3 MB)" in told["missing"][1]
