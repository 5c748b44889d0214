"""Clients that f_s must not learn from."""

import numpy as np
import pytest

from collab_asd.core.types import MachineFrames
from collab_asd.methods.embedding_sharing.pages import ClientDescription
from collab_asd.methods.embedding_sharing.screening import (
    contradiction,
    find_mismatched,
    find_norm_outliers,
    find_singletons,
    find_spoilers,
)
from collab_asd.methods.embedding_sharing.store import SharedMachine
from collab_asd.wire.codecs import parse

PLAN = parse("pca:3+fp32")
USUAL, OTHER = np.repeat([3.0, 0.1], [3, 9]), np.repeat([0.1, 3.0], [9, 3])  # lively in three dimensions of twelve


@pytest.mark.parametrize(
    ("odd", "found"),
    [(21.0, True), (19.9, False), (1.0, False), (0.21, False), (0.19, True), (0.0, True)],
)
def test_embeddings_much_larger_or_smaller_than_the_median_are_refused(odd, found):
    assert set(find_norm_outliers({0: 2.0, 1: 2.0, 2: odd, 3: 2.0}, limit=10)) == ({2} if found else set())


def test_of_two_clients_nobody_knows_who_is_odd():
    assert find_norm_outliers({0: 1.0, 1: 1000.0}, limit=10) == {}
    assert set(find_norm_outliers({0: 1.0, 1: 1000.0, 2: 1.0}, limit=10)) == {1}


def test_a_machine_with_no_other_in_its_group_is_refused():
    assert set(find_singletons({0: [(0, 0), (1, 0)], 1: [(1, 1)], 2: [(1, 1)]})) == {0}


def told_by(seed, deviations):
    random = np.random.default_rng(seed)
    return PLAN.statistics([(random.normal(size=(400, 12)) * deviations).astype(np.float32)])


@pytest.mark.parametrize(("length", "found"), [(1.0, set()), (3.0, {3})])
def test_a_client_that_takes_more_than_a_fair_share_of_the_codec_is_refused(length, found):
    """Axes of a machine of another kind do; axes that displace those of all the others do not."""
    told = {**{client: told_by(client, USUAL) for client in range(3)}, 3: told_by(3, length * OTHER)}
    assert set(find_spoilers(told, PLAN)) == found


@pytest.mark.parametrize(("usual", "found"), [(2, {9}), (1, set())])
def test_among_three_clients_one_that_takes_the_codec_is_refused_and_between_two_nobody_is(usual, found):
    told = {**{client: told_by(client, USUAL) for client in range(usual)}, 9: told_by(9, 30 * OTHER)}
    assert set(find_spoilers(told, PLAN)) == found


@pytest.mark.parametrize(
    ("factor", "refused"),
    [(1.0, False), (1.5, False), (1.7, False), (2.3, True), (4.0, True), (0.25, True), (0.0, True)],
)
def test_statistics_are_of_the_embeddings_that_come(factor, refused):
    frames = (np.random.default_rng(0).normal(size=(400, 12)) * USUAL).astype(np.float32)
    told = PLAN.statistics([frames])
    machines = [SharedMachine(MachineFrames(0, 0, [factor * frames]), (0,), ())]
    said = ClientDescription([1], [0], [0], [0], [0], 12, 1, 1, "", "", "")
    assert bool(contradiction(machines, said, told, {}, PLAN.fit([told]), 0.0)) is refused


@pytest.mark.parametrize(
    ("freedom", "calibration", "refused"),
    [(9, 0.2, False), (8, 0.2, True), (19, 0.2, False), (20, 0.2, True), (49, 0.8, False), (50, 0.8, True)],
)
def test_covariances_are_of_the_clips_that_come_and_of_those_kept_back(freedom, calibration, refused):
    """Ten clips came; half may be kept back at most where long recordings stay whole, or as many as was agreed on."""
    machines = [SharedMachine(MachineFrames(0, 0, [np.zeros((1, 12), np.float32)] * 10), (0,) * 10, ())]
    said = ClientDescription([1], [0], [0], [0], [0], 12, 1, 1, "", "", "")
    found = contradiction(machines, said, None, {(0, 0): freedom}, PLAN.fit([told_by(0, USUAL)]), calibration)
    assert bool(found) is refused


def test_who_says_something_else_of_the_encoder_than_most_is_refused():
    said = {
        client: ClientDescription([1], [0], [0], [0], [0], size, 1, 1, "", "", "")
        for client, size in enumerate((12, 6, 12))
    }
    assert set(find_mismatched(said)) == {1}
