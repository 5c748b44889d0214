"""Whole runs in which clients hold mixtures of machines."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.detection.evaluation import evaluate
from collab_asd.federation.engines import count_clients, run_inprocess, run_ray
from collab_asd.report.reading import read_run
from collab_asd.report.run_report import report

MACHINES = {"fan_id_00", "fan_id_01", "fan_id_02"}


@pytest.fixture
def config(larger_machines, cache, tmp_path):
    return RunConfig(
        data_dir=str(larger_machines), cache_dir=str(cache), results_dir=str(tmp_path / "run"), encoder="logmel",
        partition="iid", clients=2, scorer="knn", epochs=1, rounds=2, report=False,
    )  # fmt: skip


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["embedding-sharing", "fedavg", "local-mahalanobis", "local-vae"])
def test_iid_run_of_each_kind_of_method(config, method):
    folder = run_inprocess(replace(config, method=method), count_clients(config, 0))
    manifest = rows(folder / "manifest.csv")
    held = Counter((row["client"], row["machine_id"], row["split"]) for row in manifest)
    assert set(held.values()) == {12, 8}  # half of 24 and of 8 + 8
    assert len(held) == 2 * 3 * 2
    scores = rows(folder / "scores.csv")
    holder = {row["clip"]: row["client"] for row in manifest}
    assert len(scores) == 3 * 16
    assert all(row["client"] == holder[row["clip"]] for row in scores)
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["bytes_up"]) == {"0", "1"}
    assert summary["auc"]["total"] > 0.9  # the whistle is plain to hear
    assert evaluate(read_run(folder).table).by_id("auc") == summary["auc"]["by_id"]
    for kind in ("embeddings", "detectors") if method != "local-vae" else ("embeddings",):
        for client in (0, 1):
            kept = {path.name.removesuffix(".safetensors") for path in (folder / kind / f"client-{client}").iterdir()}
            assert kept == MACHINES


def test_algorithm_2_scores_mixtures_as_algorithm_1_does(config, tmp_path):
    at_client = run_inprocess(config, 2)
    at_server = run_inprocess(replace(config, inference="server", results_dir=str(tmp_path / "server")), 2)
    for one, other in zip(rows(at_client / "scores.csv"), rows(at_server / "scores.csv"), strict=True):
        assert one["clip"] == other["clip"]
        assert float(one["anomaly_score"]) == pytest.approx(float(other["anomaly_score"]), abs=1e-6)


def test_page_of_a_mixed_run(config):
    folder = run_inprocess(replace(config, partition="dirichlet", dirichlet_alpha=5.0), 2)
    page = report([folder], sounds=False).read_text()
    assert "No clips are shown" not in page
    for name in ("roc_fan_00", "scores_fan_00", "embeddings_fan_after"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 1000
    assert "ROC curves of fan/00, one per client" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clients": 3}, "24 training clips, and 3 clients need 10"),
        ({"clients": 99}, "99 clients need 10 of them each; ask for at most clients = 2"),
        ({"partition": "dirichlet", "clients": 7}, "there are clips for 6"),
    ],
)
def test_the_impossible_is_refused_before_any_work(config, changes, words):
    with pytest.raises(InputError, match=words):
        run_inprocess(replace(config, **changes), 2)
    assert not Path(config.results_dir).exists()


def test_too_few_supernodes_for_the_clients(config):
    with pytest.raises(InputError, match=r'partition = dirichlet.*--federation-config "num-supernodes=3"'):
        run_inprocess(replace(config, partition="dirichlet", dirichlet_alpha=1.0, clients=3), 2)


def test_synthetic_machines_are_as_many_as_supernodes_and_may_have_fewer_clients(config):
    mixed = replace(config, data_dir="", method="local-knn")
    folder = run_inprocess(mixed, 3)
    manifest = rows(folder / "manifest.csv")
    assert {row["client"] for row in manifest} == {"0", "1"}
    assert len({(row["machine_type"], row["machine_id"]) for row in manifest}) == 3


@pytest.mark.slow
def test_ray_and_in_process_deal_and_average_alike(config, tmp_path):
    dealt = replace(config, partition="dirichlet", dirichlet_alpha=1.0, clients=0, method="fedavg")
    inprocess = run_inprocess(dealt, 3)
    other = replace(dealt, results_dir=str(tmp_path / "ray"), cache_dir=str(tmp_path / "cache"))
    ray = run_ray(other, count_clients(other, 0), lambda line: None)
    for name in ("scores.csv", "manifest.csv"):
        assert (ray / name).read_bytes() == (inprocess / name).read_bytes()
