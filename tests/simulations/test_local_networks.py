"""Whole runs of the detectors that each client trains alone, in process."""

import csv
import json

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.federation.engines import run_inprocess


@pytest.fixture
def config(machines, cache, tmp_path):
    return lambda method, out, **changes: RunConfig(
        method=method, data_dir=str(machines), cache_dir=str(cache), results_dir=str(tmp_path / out), report=False,
        **{"encoder": "logmel"} | changes,
    )  # fmt: skip


def table(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("network", ["vae", "vidnn", "glow"])
def test_whole_run_hears_the_whistle_and_shares_nothing(network, config):
    method = f"local-{network}"
    folder = run_inprocess(config(method, "run", epochs=1), 3)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["method"], summary["scorer"], summary["id_accuracy"]) == (method, network, None)
    assert summary["auc"]["total"] > 0.9
    assert len(table(folder)) == 3 * 12
    assert max(summary["bytes_up"].values()) < 12 * (4 + 8 + 8 + 1 + 4) + 5 * 300
    assert len(list((folder / "embeddings").iterdir())) == 3


def test_clients_draw_from_seeds_of_their_own(config):
    first, again = (run_inprocess(config("local-vidnn", name, epochs=1), 3) for name in ("first", "again"))
    other = run_inprocess(config("local-vidnn", "other", epochs=1, seed=1), 3)
    assert (first / "scores.csv").read_bytes() == (again / "scores.csv").read_bytes()
    changed = [a["anomaly_score"] != b["anomaly_score"] for a, b in zip(table(first), table(other), strict=True)]
    assert all(changed)


def test_other_encoder_is_refused_before_any_work(config, tmp_path):
    with pytest.raises(InputError, match="--encoder logmel"):
        run_inprocess(config("local-glow", "run", encoder="random-conv"), 3)
    assert not (tmp_path / "run").exists()
