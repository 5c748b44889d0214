"""The audit of methods that share no embeddings: what their runs give away, on the machines of `test_audit`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from baselines.split_learning.audit import first_stage
from baselines.split_learning.observed import first_batches, louder_windows
from collab_asd.audit import query_attacks as answers
from collab_asd.audit.findings import parties
from collab_asd.audit.run import AuditedRun
from collab_asd.cli.main import app
from collab_asd.config import RunConfig
from collab_asd.federation.engines import run_inprocess
from collab_asd.methods.embedding_sharing.state import KEPT, ServerState

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recorded(sounds, cache, tmp_path_factory):
    """Runs a method for a few rounds on log-mel frames, a half of whose clips is kept from f_s."""

    def make(method, **more):
        out = tmp_path_factory.mktemp("results") / method
        settings = {"encoder": "logmel", "calibration": 0.5, "rounds": 4, "report": False, "record_view": True}
        where = {"data_dir": str(sounds[0]), "cache_dir": str(cache), "results_dir": str(out)}
        return run_inprocess(RunConfig(method=method, **settings, **where, **more), 3)

    return make


@pytest.fixture(scope="module")
def split_run(recorded):
    return recorded("splitfed")


def audited(folder, sounds):
    result = CliRunner().invoke(app, ["audit", str(folder), "--data", str(sounds[1]), "--quick", "--json", "-q"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def pick(audit, attack, measure):
    return {f["knowledge"]: f for f in audit["findings"] if (f["attack"], f["measure"]) == (attack, measure)}


def test_whose_windows_activations_are_is_known_to_the_auditor(split_run):
    run = AuditedRun.open(split_run)
    clients = {client.partition.client: client for client in run.clients()}
    batch = next(b for b in first_batches(run.view) if b.purity > 0.98)
    windows = []
    for number, first in louder_windows(batch, clients[batch.client], run.config):
        (frames,) = clients[batch.client].frames([number])
        windows.append(frames[first : first + batch.settings.stack].mean(axis=0))
    standardized = torch.tensor((np.stack(windows) - batch.mean) * batch.scale)
    again = first_stage(batch)(standardized[:, None, None]).detach().numpy()
    assert np.corrcoef(again.ravel(), batch.activations.ravel())[0, 1] > 0.98


def test_activations_give_recordings_away_to_who_knows_the_stage(split_run, sounds):
    audit = audited(split_run, sounds)
    distance = pick(audit, "raw-data retrieval", "distance, dB")
    assert distance["knows f_c"]["high"] < 0.6 * distance["knows f_c"]["chance"]
    correlation = pick(audit, "raw-data retrieval", "correlation")
    assert correlation["knows f_c"]["low"] > 0.5
    for control in ("shuffled (control)", "knows f_c, not the first stage"):
        assert correlation[control]["value"] < 0.25
    assert "factory" in str(audit["findings"])
    members = pick(audit, "membership inference", "AUC")
    assert members["knows f_c"]["low"] > 0.5 > members["shuffled (control)"]["low"]


def test_sums_and_batch_statistics_of_fedavg_give_each_clients_mean_spectrum_away(recorded, sounds):
    audit = audited(recorded("fedavg"), sounds)
    for source in ("a client's mean spectrum", "a client's mean spectrum, from batch statistics"):
        distance = pick(audit, source, "distance, dB")
        assert distance["knows f_c"]["high"] < 0.5 * distance["knows f_c"]["chance"], source
        assert distance["shuffled (control)"]["value"] > 0.8 * distance["shuffled (control)"]["chance"]
    membership = pick(audit, "membership inference", "AUC")
    assert set(membership) == {"f_c and a client's last model", "f_c and what a client's rounds change"}
    held = {party["name"]: (party["f_s"], party["embeddings"]) for party in audit["parties"]}
    assert held["the server"] == (True, False)


COUNTING = """
from collab_asd.audit.attacks import Attack
ATTACK = Attack(("nothing",), lambda case, found: found.missing.append(f"clients: {len(case.run.partitions)}"))
"""


def test_of_a_method_that_shares_nothing_scores_alone_have_left(recorded, sounds, install):
    install("collab_asd.attacks", "more_attacks", COUNTING, {"counting": "more_attacks:ATTACK"})
    install("collab_asd.attacks", "broken_attacks", "1 / 0", {"broken": "broken_attacks:ATTACK"})
    audit = audited(recorded("local-knn"), sounds)
    line, added, broken = audit["missing"]
    assert added == "clients: 3"
    assert "broken_attacks" in broken
    left = "anomaly_score, clips, decision, p_value, predicted, threshold"
    assert f"{left} have left its client, and nothing else" in line
    assert not audit["findings"]
    assert not any(party["f_s"] for party in audit["parties"])


def test_answers_of_algorithm_2_are_enough_to_copy_f_s(recorded, monkeypatch):
    """Asked about are recordings of the machines themselves: all answers are alike about machines far from them."""
    monkeypatch.setattr(answers, "TRAINING", replace(answers.TRAINING, windows_per_class=100))
    run = AuditedRun.open(recorded("embedding-sharing", codec="fp32", inference="server"))
    own = [clip for clips in zip(*run.trained_on(9).values(), strict=True) for clip in clips]
    found = list(answers.attacks(run, ServerState.load(run.results / KEPT).classifiers, own))
    agreement = {f.knowledge: f for f in found if f.measure == "agreement with f_s"}
    distilled = agreement["f_c, and f_s distilled by 27 queries"]
    control = agreement["f_c and 27 recordings, no query (control)"]
    assert control.high < distilled.low
    assert (control.chance, control.clips) == (pytest.approx(1 / 3), 12)
    assert [f.knowledge for f in found if f.attack == "membership inference"] == [
        "its score, without itself among the normals"  # six normal test clips are too few for the other
    ]
    assert [(p.f_s, p.complete) for p in parties(run) if p.name == "a client"] == [(False, False)]


def test_too_few_recordings_that_no_matrix_holds_are_said_to_be_missing(recorded, sounds):
    audit = audited(recorded("covariance-sharing"), sounds)
    assert not pick(audit, "membership inference", "AUC")
    assert any("membership inference: 6 normal recordings" in missing for missing in audit["missing"])
