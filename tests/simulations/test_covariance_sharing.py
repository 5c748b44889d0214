"""Whole runs of covariance sharing: what is exact, what leaves a client, who is refused, who joins and leaves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from collab_asd.audit.view import View
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.progress import collected_warnings
from collab_asd.data.run_data import load_partitions
from collab_asd.detection import second_order, storage
from collab_asd.detection.detector import Detector
from collab_asd.detection.scorers import OWN_SPECTRA
from collab_asd.detection.second_order import add, pooled_sums, whole_clips
from collab_asd.encoders import build
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.engines import run_inprocess, run_ray
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import SCATTER, SCORE, VARIANCES, from_record, to_record
from collab_asd.federation.recording import VIEW
from collab_asd.methods.covariance_sharing.state import ARRAYS, CARD, KEPT, ServerState
from collab_asd.methods.embedding_sharing.algorithm import own_spaces
from collab_asd.report.reading import read_run
from simulations import client_app, server_app

SICK = 1  # client, and machine
NODE = 1000 + SICK


@pytest.fixture
def config(many_machines, cache, tmp_path):
    return RunConfig(
        method="covariance-sharing", data_dir=str(many_machines), cache_dir=str(cache),
        results_dir=str(tmp_path / "run"), report=False,
    )  # fmt: skip


def run(config, clients=4, grid=InProcessGrid):
    return server_app.run(grid(client_app.app, clients, config.to_mapping()), config, engine="inprocess")


def machines(config, clients=4):
    """Clients, and the embedded clips of each one's machine."""
    cache, encoder = EmbeddingCache(Path(config.cache_dir) / "embeddings"), build(config)
    partitions = load_partitions(config, clients)
    held = [ClientData(p, encoder, cache, Path(config.data_dir), config.calibration) for p in partitions]
    return held, [client.machine_frames(client.machines()[0], with_spectra=True) for client in held]


def normal_points(frames):
    return whole_clips([*frames.spectra.normal, *frames.spectra.calibration]).astype(np.float64)


def expected(client, frames, others=None):
    """Scores by name of clip, computed without a federation."""
    detector = Detector(own_spaces(frames, OWN_SPECTRA, others))
    names = [client.partition.clips[i].path.name for i in client.machines()[0].test]
    return dict(zip(names, detector.scores(detector.embed_tests(frames)).test, strict=True))


def test_the_strategy_computes_the_plain_function(config, scores_of):
    found = scores_of(run(config))
    held, frames = machines(config)
    parts = pooled_sums([normal_points(own) for own in frames])
    for client, own, part in zip(held, frames, parts, strict=True):
        for name, score in expected(client, own, add(parts).without(part)).items():
            assert float(found[name][0]) == pytest.approx(score, abs=1e-3)


def test_one_client_alone_is_the_local_detector_to_the_bit(config, listing, many_machines, scores_of, tmp_path):
    listed = listing(many_machines, tmp_path / "one.csv", lambda machine: "" if machine else "fan")
    config = replace(config, data_dir=str(listed), min_clients=1)
    found = scores_of(run(config, 1))
    (client,), (frames,) = machines(config, 1)
    assert {name: float(score) for name, (score, _) in found.items()} == expected(client, frames)


def test_sharing_nothing_is_the_local_detector_to_the_bit(config, scores_of):
    """Method ``local-spectra``: what covariance sharing is with nobody else."""
    found = scores_of(run(replace(config, method="local-spectra")))
    alone = [expected(client, frames) for client, frames in zip(*machines(config), strict=True)]
    assert {name: float(score) for name, (score, _) in found.items()} == {k: v for one in alone for k, v in one.items()}


class Reversed(InProcessGrid):
    """Answers come in the other order."""

    def send_and_receive(self, messages, *, timeout=None):
        return super().send_and_receive(list(messages)[::-1], timeout=timeout)


def test_the_order_of_the_clients_changes_no_bit(config, tmp_path):
    one = run(config)
    other = run(replace(config, results_dir=str(tmp_path / "reversed")), grid=Reversed)
    assert (one / "scores.csv").read_bytes() == (other / "scores.csv").read_bytes()
    assert (one / KEPT / ARRAYS).read_bytes() == (other / KEPT / ARRAYS).read_bytes()


def test_only_sums_leave_a_client(config):
    """Neither a mean, nor an embedding, nor a clip: read in all messages."""
    folder = run(replace(config, record_view=True))
    normals = [normal_points(own) for own in machines(config)[1]]
    sent = {}
    for message in View.read(folder / VIEW).messages:
        if message.way == "up":
            names = {name.split("/")[-1] for name in message.arrays}
            sent.setdefault(message.kind, set()).update(names)
            if message.kind != SCORE:
                own = normals[message.client]
                for array in message.arrays.values():
                    values = np.asarray(array, float).ravel()
                    for vector in (own.mean(axis=0), *own):
                        for scale in (1.0, 2.0**20, 2.0**12):
                            close = np.isclose(values[:, None], vector[None, :16] * scale, rtol=1e-3).any(axis=0)
                            assert not close[np.abs(vector[:16]) > 1].all()
    assert {kind: names for kind, names in sent.items() if kind not in (SCORE, "query.hello")} == {
        VARIANCES: {"squares"},
        SCATTER: {"squares", "scatter"},
    }


def test_bytes_do_not_grow_with_the_clips(config):
    summary = json.loads((run(config) / "summary.json").read_text())
    for phases in summary["bytes_by_phase"].values():
        up = sum(phases[kind][0] for kind in (VARIANCES, SCATTER))
        assert 131_584 < up < 150_000


def test_saved_detectors_score_as_the_run_did(config, scores_of):
    folder = run(config)
    found = scores_of(folder)
    for client, frames in zip(*machines(config), strict=True):
        clip = client.partition.clips[0]
        detector, card = storage.load(folder / "detectors" / f"{clip.machine_type}_id_{clip.machine_id}")
        scores = detector.scores(detector.embed_tests(frames)).test
        for i, score in zip(client.machines()[0].test, scores, strict=True):
            name = client.partition.clips[i].path.name
            assert (score, card.threshold) == tuple(map(float, found[name]))


class Sick(InProcessGrid):
    """One client's answers to one kind of message are spoilt."""

    kind, spoil = SCATTER, staticmethod(lambda arrays: None)

    def send_and_receive(self, messages, *, timeout=None):
        for reply in super().send_and_receive(messages, timeout=timeout):
            if reply.metadata.src_node_id == NODE and reply.metadata.message_type == self.kind and reply.has_content():
                arrays = {k: v.copy() for k, v in from_record(reply.content.array_records["sums/0"]).items()}
                self.spoil(arrays)
                content = RecordDict(dict(reply.content.items()))
                content["sums/0"] = to_record(arrays)
                reply.content = content
            yield reply


@pytest.mark.parametrize("method", ["covariance-sharing", "embedding-sharing"])
@pytest.mark.parametrize("limit", [0.0, 100.0])
def test_misfits_are_named_in_the_summary(config, method, limit, monkeypatch):
    monkeypatch.setattr(second_order, "SUITABLE_DIFFERENCE", limit)
    folder = run(replace(config, method=method, encoder="logmel", epochs=1))
    found = {m["machine_id"]: m["misfit"] for m in json.loads((folder / "summary.json").read_text())["machines"]}
    assert set(found.values()) == {limit == 0.0}
    assert {m.misfit for m in read_run(folder).evaluation.machines} == {limit == 0.0}


def sick(kind, spoil):
    return type("Spoilt", (Sick,), {"kind": kind, "spoil": staticmethod(spoil)})


def negative(arrays):
    arrays["scatter"] = -arrays["scatter"]


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        (VARIANCES, lambda arrays: arrays["squares"].__imul__(-1)),
        (SCATTER, negative),
        (SCATTER, lambda arrays: arrays.update(scatter=arrays["scatter"].astype(np.float32) * np.nan)),
    ],
)
def test_a_client_that_sends_nonsense_is_named_and_left_out_of_the_sums(
    config, kind, spoil, listing, many_machines, scores_of, tmp_path
):
    with pytest.raises(InputError, match=f"client {SICK}: "):
        run(replace(config, on_failure="fail"), grid=sick(kind, spoil))
    excluding = replace(config, on_failure="exclude", results_dir=str(tmp_path / "excluding"))
    folder = run(excluding, grid=sick(kind, spoil))
    assert str(SICK) in json.loads((folder / "summary.json").read_text())["excluded"]
    listed = listing(many_machines, tmp_path / "others.csv", lambda machine: "" if machine == SICK else "fan")
    without = run(replace(config, data_dir=str(listed), results_dir=str(tmp_path / "without")), 3)
    assert scores_of(folder) == scores_of(without)


def test_joining_and_leaving_again_is_never_having_joined(config, listing, many_machines, tmp_path):
    listed = listing(many_machines, tmp_path / "first.csv", lambda machine: "" if machine == 3 else "fan")
    few = replace(config, data_dir=str(listed), retain_embeddings=True)
    first = run(replace(few, results_dir=str(tmp_path / "first")), 3)
    joined = run(replace(config, retain_embeddings=True, join=str(first), results_dir=str(tmp_path / "joined")))
    left = run(replace(few, join=str(joined), results_dir=str(tmp_path / "left")), 3)
    before, between, after = (ServerState.load(folder / KEPT) for folder in (first, joined, left))
    assert between.groups[0].total.machines == 4
    assert np.array_equal(before.groups[0].total.scatter, after.groups[0].total.scatter)
    assert before.groups[0].total.dof == after.groups[0].total.dof
    assert (first / "scores.csv").read_bytes() == (left / "scores.csv").read_bytes()


class Counting(InProcessGrid):
    """Writes down who was asked for a matrix."""

    asked: ClassVar[list[int]] = []

    def send_and_receive(self, messages, *, timeout=None):
        sent: list[Message] = list(messages)
        self.asked.extend(m.metadata.dst_node_id - 1000 for m in sent if m.metadata.message_type == SCATTER)
        return super().send_and_receive(sent, timeout=timeout)


def test_a_newcomer_alone_sends_its_matrix(config, listing, many_machines, tmp_path):
    listed = listing(many_machines, tmp_path / "first.csv", lambda machine: "" if machine == 3 else "fan")
    first = run(replace(config, data_dir=str(listed), results_dir=str(tmp_path / "first")), 3)
    assert not any(member.is_retained for member in ServerState.load(first / KEPT).members.values())
    Counting.asked.clear()
    run(replace(config, join=str(first), results_dir=str(tmp_path / "joined")), grid=Counting)
    assert Counting.asked == [3]


def test_what_cannot_be_joined_is_refused(config, tmp_path):
    with pytest.raises(InputError, match=r"join: .*covariance-sharing"):
        run(replace(config, join=str(tmp_path)))
    folder = run(config)
    (folder / KEPT / CARD).write_text("{}")
    with pytest.raises(InputError, match="repeat the run"):
        run(replace(config, join=str(folder), results_dir=str(tmp_path / "joined")))


def test_each_group_has_sums_of_its_own(config, listing, many_machines, tmp_path):
    listed = listing(many_machines, tmp_path / "types.csv", ("a", "a", "b", "b").__getitem__)
    types, everything = (
        run(replace(config, data_dir=str(listed), group_by=group_by, results_dir=str(tmp_path / group_by)))
        for group_by in ("machine-type", "all")
    )
    assert [g.total.machines for g in ServerState.load(types / KEPT).groups.values()] == [2, 2]
    assert [g.total.machines for g in ServerState.load(everything / KEPT).groups.values()] == [4]


@pytest.mark.slow
def test_ray_gives_the_same_file(config, tmp_path):
    ray = run_ray(replace(config, cache_dir=str(tmp_path / "cache")), 4, lambda line: None)
    inprocess = run_inprocess(replace(config, results_dir=str(tmp_path / "inprocess")), 4)
    assert (ray / "scores.csv").read_bytes() == (inprocess / "scores.csv").read_bytes()


class Killed(InProcessGrid):
    """Dies when the matrices are asked for."""

    def send_and_receive(self, messages, *, timeout=None):
        sent = list(messages)
        if sent and sent[0].metadata.message_type == SCATTER:
            raise KeyboardInterrupt
        return super().send_and_receive(sent, timeout=timeout)


def test_a_run_that_was_killed_is_taken_up_again(config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(config, grid=Killed)
    again = run(config)
    whole = run(replace(config, results_dir=str(tmp_path / "whole")))
    assert (again / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()


def test_fewer_clients_than_asked_for_are_refused(config):
    lost = sick(SCATTER, negative)
    with pytest.raises(InputError, match=f"client {SICK}"):
        run(replace(config, on_failure="exclude", min_clients=4), grid=lost)


@pytest.mark.parametrize("method", ["covariance-sharing", "embedding-sharing"])
def test_a_machine_that_sharing_does_not_suit_is_named(config, method, monkeypatch):
    monkeypatch.setattr("collab_asd.detection.second_order.SUITABLE_DIFFERENCE", 0.0)
    with collected_warnings() as said:
        run(replace(config, method=method, encoder="logmel", epochs=1))
    warned = sorted(line for line in said if "worse" in line)
    assert [line.split(":")[0] for line in warned] == [f"fan/{i:02d}" for i in range(4)]
