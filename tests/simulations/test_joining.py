"""A machine that joins a federation which was trained without it."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.detection import storage
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import DESCRIBE, EMBEDDINGS, SCORE
from collab_asd.methods.embedding_sharing.state import ARRAYS, CARD, KEPT, ServerState
from simulations import client_app, server_app

NEWCOMER = 3


@pytest.fixture
def config(many_machines, cache, tmp_path):
    return RunConfig(
        data_dir=str(many_machines), cache_dir=str(cache), results_dir=str(tmp_path / "run"), encoder="logmel",
        epochs=1, report=False,
    )  # fmt: skip


@pytest.fixture
def listed(listing, many_machines, tmp_path):
    """All machines but the newcomer."""
    return listing(many_machines, tmp_path / "clips.csv", lambda machine: "" if machine == NEWCOMER else "fan")


@pytest.fixture
def earlier(listed, tmp_path):
    """Runs without the newcomer."""

    def start(config, **changes):
        settings = {"data_dir": str(listed), "results_dir": str(tmp_path / "earlier")} | changes
        return run_inprocess(replace(config, **settings), 3)

    return start


class Counting(InProcessGrid):
    """Counts who is asked for what."""

    def __init__(self, config):
        super().__init__(client_app.app, 4, config.to_mapping())
        self.asked = Counter()

    def send_and_receive(self, messages, *, timeout=None):
        sent = list(messages)
        self.asked.update((m.metadata.message_type, m.metadata.dst_node_id - 1000) for m in sent)
        return super().send_and_receive(sent, timeout=timeout)


def joined(config):
    grid = Counting(config)
    folder = server_app.run(grid, config, engine="inprocess")
    return folder, {kind: sorted(c for k, c in grid.asked if k == kind) for kind in (DESCRIBE, EMBEDDINGS, SCORE)}


def detector(folder, machine):
    return storage.load(folder / "detectors" / f"fan_id_{machine:02d}")[0]


def weights(folder, machine):
    return detector(folder, machine).spaces[0].classifier.state_dict()


def test_without_retained_embeddings_f_s_stays_and_the_newcomer_sends_none(config, earlier, scores_of):
    before = earlier(config)
    assert not (before / KEPT / "store").exists()
    folder, asked = joined(replace(config, join=str(before)))
    assert asked == {DESCRIBE: [0, 1, 2, 3], EMBEDDINGS: [], SCORE: [NEWCOMER]}
    for name, array in weights(before, 0).items():
        np.testing.assert_array_equal(weights(folder, NEWCOMER)[name], array)
    assert {clip.split("_")[2] for clip in scores_of(folder)} == {"03"}
    assert json.loads((folder / "summary.json").read_text())["auc"]["total"] > 0.9


@pytest.mark.parametrize("inference", ["client", "server"])
def test_with_retained_embeddings_only_the_newcomer_sends_and_f_s_goes_on(config, earlier, scores_of, inference):
    config = replace(config, inference=inference)
    before = earlier(config, retain_embeddings=True)
    folder, asked = joined(replace(config, join=str(before)))
    assert asked == {DESCRIBE: [0, 1, 2, 3], EMBEDDINGS: [NEWCOMER], SCORE: [0, 1, 2, 3]}
    old, new = (ServerState.load(path / KEPT).classifiers[0] for path in (before, folder))
    assert (old.settings.classes, new.settings.classes) == (3, 4)
    assert len({clip.split("_")[2] for clip in scores_of(folder)}) == 4
    assert json.loads((folder / "summary.json").read_text())["id_accuracy"] > 0.9
    assert (before / KEPT / "store").is_dir()  # nothing of the earlier run is taken away
    assert not (folder / KEPT / "store").exists()


def test_an_algorithm_2_run_that_retained_nothing_cannot_be_joined(config, earlier):
    before = earlier(config)
    with pytest.raises(InputError, match="retain-embeddings = true"):
        joined(replace(config, join=str(before), inference="server"))


def test_a_newcomer_that_is_sorted_before_others_is_refused(config, earlier, listing, many_machines, tmp_path):
    others = listing(many_machines, tmp_path / "others.csv", lambda machine: "" if machine == 0 else "fan")
    before = earlier(config, data_dir=str(others))
    with pytest.raises(InputError, match="another number in its group"):
        joined(replace(config, join=str(before)))


def test_who_joins_must_be_new_and_alike(config, earlier, listed, tmp_path):
    before = earlier(config)
    with pytest.raises(InputError, match="all clients took part"):
        run_inprocess(replace(config, join=str(before), data_dir=str(listed)), 3)
    with pytest.raises(InputError, match="used another encoder"):
        joined(replace(config, join=str(before), encoder="random-conv", results_dir=str(tmp_path / "other")))
    with pytest.raises(InputError, match=r"seed = 0, by which a simulation numbers clips.*this run has seed = 1"):
        joined(replace(config, join=str(before), seed=1))
    with pytest.raises(InputError, match="set the same here"):
        joined(replace(config, join=str(before), codec="fp16", results_dir=str(tmp_path / "another")))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (CARD, None, "holds nothing to join"),
        (CARD, b"<html>", "not what a server keeps of a run, or damaged"),
        (CARD, b'{"format": 9}', "of version 9"),
        (ARRAYS, b"half", "damaged"),
    ],
)
def test_what_was_kept_is_verified(config, earlier, file, content, words):
    path = earlier(config) / KEPT / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        ServerState.load(path.parent)
