"""Kept classifiers: found again where nothing has changed, never where anything has."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from collab_asd.classifier.model import to_arrays
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.core.types import MachineFrames
from collab_asd.methods.embedding_sharing import state
from collab_asd.methods.embedding_sharing.algorithm import train_id_classifiers, train_on_group
from collab_asd.methods.embedding_sharing.state import ClassifierCache, classifier_key

TINY = TrainingSettings("light", 1, 8, 16, 1e-3, one_cycle=False)
STACKING = (4, 2)


def machines(groups=(0,)):
    rng = np.random.default_rng(0)
    return [
        MachineFrames(group, number, [rng.normal(number, 1, (8, 3)).astype(np.float32) for _ in range(4)])
        for group in groups
        for number in range(2)
    ]


@pytest.fixture
def trainings(monkeypatch):
    """Groups that were really trained, in order."""
    groups = []

    def counted(members, *rest):
        groups.append(members[0].group)
        return train_on_group(members, *rest)

    monkeypatch.setattr(state, "train_on_group", counted)
    return groups


def same(one, other):
    ours, theirs = to_arrays(one), to_arrays(other)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_second_training_reads_what_the_first_one_kept(tmp_path, trainings):
    first, second = ClassifierCache(tmp_path), ClassifierCache(tmp_path)
    trained = first.train(machines((0, 1)), TINY, STACKING, seed=7)
    found = second.train(machines((0, 1)), TINY, STACKING, seed=7)
    assert trainings == [0, 1]
    assert first.seconds_saved == 0 < second.seconds_saved
    plain = train_id_classifiers(machines((0, 1)), TINY, STACKING, 7)
    for group in (0, 1):
        assert same(found[group], plain[group])
        assert same(trained[group], plain[group])
        assert found[group].settings == plain[group].settings
        assert not found[group].training


def test_one_group_that_is_new_is_trained_alone(tmp_path, trainings):
    ClassifierCache(tmp_path).train(machines((0,)), TINY, STACKING, seed=7)
    ClassifierCache(tmp_path).train(machines((0,)) + machines((3,)), TINY, STACKING, seed=7)
    assert trainings == [0, 3]


def one_value_more(members):
    changed = members[0].normal[0].copy()
    changed[0, 0] += 1
    return [replace(members[0], normal=[changed, *members[0].normal[1:]]), *members[1:]]


@pytest.mark.parametrize(
    "changed",
    [
        lambda m: (m, TINY, STACKING, 8, "cpu"),
        lambda m: (m, replace(TINY, epochs=2), STACKING, 7, "cpu"),
        lambda m: (m, replace(TINY, margin=28.7), STACKING, 7, "cpu"),
        lambda m: (m, TINY, (4, 1), 7, "cpu"),
        lambda m: (m, TINY, STACKING, 7, "cuda"),
        lambda m: (one_value_more(m), TINY, STACKING, 7, "cpu"),
        lambda m: ([replace(m[0], normal=m[0].normal[::-1]), m[1]], TINY, STACKING, 7, "cpu"),
        lambda m: (m[::-1], TINY, STACKING, 7, "cpu"),
        lambda m: ([replace(m[0], machine_class=2), m[1]], TINY, STACKING, 7, "cpu"),
        lambda m: ([replace(each, group=1) for each in m], TINY, STACKING, 7, "cpu"),
    ],
    ids=["seed", "epochs", "margin", "stacking", "device", "value", "order", "machines", "class", "group"],
)
def test_whatever_the_weights_depend_on_changes_the_key(changed):
    assert classifier_key(*changed(machines())) != classifier_key(machines(), TINY, STACKING, 7, "cpu")


def test_threads_and_code_change_the_key(monkeypatch):
    keys = {classifier_key(machines(), TINY, STACKING, 7, "cpu")}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    keys.add(classifier_key(machines(), TINY, STACKING, 7, "cpu"))
    monkeypatch.setattr(state, "_code_digest", lambda: "another")
    keys.add(classifier_key(machines(), TINY, STACKING, 7, "cpu"))
    assert len(keys) == 3


def test_test_and_calibration_clips_do_not_count():
    seen = [replace(m, calibration=m.normal[:1], test=m.normal[:2]) for m in machines()]
    assert classifier_key(seen, TINY, STACKING, 7, "cpu") == classifier_key(machines(), TINY, STACKING, 7, "cpu")


@pytest.mark.parametrize("place", [0.01, 0.5, 0.999])
def test_a_flipped_byte_is_found_and_f_s_trained_again(tmp_path, trainings, caplog, place):
    trained = ClassifierCache(tmp_path).train(machines(), TINY, STACKING, seed=7)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    again = ClassifierCache(tmp_path).train(machines(), TINY, STACKING, seed=7)
    assert trainings == [0, 0]
    assert same(again[0], trained[0])
    ClassifierCache(tmp_path).train(machines(), TINY, STACKING, seed=7)
    assert trainings == [0, 0]  # the damaged file was replaced


def test_a_file_under_another_name_is_not_believed(tmp_path, trainings):
    ClassifierCache(tmp_path).train(machines(), TINY, STACKING, seed=7)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f"{classifier_key(machines(), TINY, STACKING, 8, 'cpu')}.safetensors")
    ClassifierCache(tmp_path).train(machines(), TINY, STACKING, seed=8)
    assert trainings == [0, 0]


def test_a_folder_that_cannot_be_written_costs_only_the_next_training(tmp_path, trainings):
    (tmp_path / "file").write_text("in the way")
    for _ in range(2):
        assert ClassifierCache(tmp_path / "file").train(machines(), TINY, STACKING, seed=7).keys() == {0}
    assert trainings == [0, 0]
