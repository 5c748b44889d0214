"""Whole runs with defences: what leaves, what is kept, and what must stay the same."""

import base64
import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from collab_asd.audit.run import AuditedRun
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.detection import storage
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import DESCRIBE
from collab_asd.methods.embedding_sharing.client import defences_of, require_tagged
from collab_asd.methods.embedding_sharing.pages import codec_of
from collab_asd.monitoring.monitor import Monitor
from simulations import client_app

ROTATION, NOISE = bytes(range(100, 132)), bytes(range(200, 232))


@pytest.fixture(scope="module")
def tagged(machines, tmp_path_factory):
    """The three machines, with a table that says in which of two halls each clip was recorded."""
    folder = tmp_path_factory.mktemp("tagged") / "machines"
    shutil.copytree(machines, folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.wav"))
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "hall"), *((name, "EW"[i % 2]) for i, name in enumerate(names))])
    return folder


@pytest.fixture(scope="module")
def config(tagged, cache, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys")
    (keys / "rotation").write_bytes(ROTATION)
    (keys / "noise").write_bytes(NOISE)
    return RunConfig(
        data_dir=str(tagged),
        cache_dir=str(cache),
        encoder="logmel",
        epochs=1,
        report=False,
        codec="pool:4+pca:8+int8",
        record_view=True,
        rotation_key_file=str(keys / "rotation"),
        noise_epsilon=5000.0,
        noise_key_file=str(keys / "noise"),
        erase="hall",
    )


def finished(config, folder, **changes):
    return run_inprocess(replace(config, results_dir=str(folder), **changes), 3)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """A run with all three defences."""
    return finished(config, tmp_path_factory.mktemp("defended") / "run")


def scores(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return {Path(row["clip"]).name: float(row["anomaly_score"]) for row in csv.DictReader(file)}


def test_keys_are_nowhere_in_what_was_sent_or_kept(run, config):
    secrets = [form for key in (ROTATION, NOISE) for form in (key, key.hex().encode(), base64.b64encode(key))]
    kept = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert sum("view" in path.parts for path in kept) > 20
    assert not [path for path, content in kept.items() for secret in secrets if secret in content]
    places = [config.rotation_key_file.encode(), config.noise_key_file.encode()]
    naming = {path.relative_to(run).as_posix() for path, content in kept.items() if any(p in content for p in places)}
    assert naming == {"config.json"}  # of a simulation, in which one process is all parties
    summary = json.loads((run / "summary.json").read_text())["config"]
    assert (summary["rotation-key-file"], summary["noise-key-file"]) == ("(secret)", "(secret)")


def test_summary_says_what_was_done(run):
    note = json.loads((run / "summary.json").read_text())["encoder_note"]
    assert "turned by a secret rotation" in note
    assert "unit one clip, (epsilon, delta) = (5000, 1e-05); no guarantee, epsilon is above 10; clipping norm" in note
    assert "a tagged attribute erased" in note
    assert "hall" not in note


def test_what_leaves_has_gone_through_all_of_them(run, config, cache):
    """Decoded, what was sent of a client's clips is its rows after the defences, as far as the codec lets them."""
    audited = AuditedRun.open(run)
    sent = [clip for clip in audited.view.shared(codec_of(config)) if clip.client == 1 and clip.part == 0]
    plain = [audited.ear.cache.encode(audited.encoder, audited.partitions[1].clips[clip.clip]) for clip in sent]
    decoded = [audited.codec.decode(clip.rows, clip.length) for clip in sent]
    clipping, rotation = audited.defences.detector_stages
    turned = [rotation.encode(clipping.encode(frames)) for frames in plain]
    apart = [np.corrcoef(a.ravel() - a.mean(), b.ravel() - b.mean())[0, 1] for a, b in zip(decoded, plain, strict=True)]
    near = [np.corrcoef(a.ravel() - a.mean(), b.ravel() - b.mean())[0, 1] for a, b in zip(decoded, turned, strict=True)]
    assert np.mean(near) > 0.5 > 0.2 > abs(np.mean(apart))
    assert audited.view.encoder_digests() != {audited.encoder.spec.digest}


def test_asked_again_a_client_sends_the_same(config):
    """In another process, after a retry, in the next run: noise that is drawn anew would average out."""
    said = []
    grid = InProcessGrid(client_app.app, 3, config.to_mapping())
    first, second, _ = grid.get_node_ids()
    for node in (first, first, second):
        defences_of.cache_clear()
        (reply,) = grid.send_and_receive([Message(RecordDict(), node, DESCRIBE)])
        told = reply.content
        said.append(({name: array.data for name, array in told.array_records["statistics"].items()}, told["client"]))
    assert said[0] == said[1] != said[2]


def test_a_kept_detector_needs_the_rotations_key_and_scores_as_in_the_run(run, config, tmp_path):
    folder = run / "detectors" / "fan_id_01"
    with pytest.raises(InputError, match=r"turned by a secret rotation; name its key with --rotation-key-file"):
        storage.load(folder)
    (tmp_path / "other").write_bytes(ROTATION[::-1])
    with pytest.raises(InputError, match="not the key of the rotation"):
        storage.load(folder, str(tmp_path / "other"))
    monitor = Monitor.open(folder, rotation_key_file=config.rotation_key_file)
    found = scores(run)
    clips = sorted((Path(config.data_dir) / "fan" / "test").glob("*_id_01_*.wav"))
    assert [monitor.judge(clip).anomaly_score for clip in clips] == pytest.approx([found[c.name] for c in clips])


def test_both_algorithms_give_the_same_scores_without_noise(config, tmp_path):
    quiet = replace(config, noise_epsilon=0.0, noise_key_file="", record_view=False)
    at_clients = scores(finished(quiet, tmp_path / "1"))
    at_server = scores(finished(quiet, tmp_path / "2", inference="server"))
    assert at_server == pytest.approx(at_clients, rel=1e-4)


def test_attribute_that_recordings_are_not_tagged_with_is_refused_at_once(config):
    require_tagged(config, 3)
    with pytest.raises(InputError, match=r"client 0: erase = 'wind': metadata.csv .* has no column 'wind' .*\(hall\)"):
        require_tagged(replace(config, erase="wind"), 3)
