"""Membership from covariances: clear from one machine's matrix, not from a sum over many clips."""

from dataclasses import replace

import numpy as np
import pytest

from collab_asd.audit.covariances import nearness
from collab_asd.audit.measures import auc_with_interval
from collab_asd.detection.second_order import DIMENSION, TRIANGLE, add, pooled_sums
from collab_asd.methods.covariance_sharing.sums import SQUARES_BITS, Part, to_fixed

BITS = 16


def part_of(sums, machines):
    scatter = to_fixed(sums.scatter[TRIANGLE], BITS)
    return Part(machines, sums.dof, to_fixed(sums.squares, SQUARES_BITS), scatter)


@pytest.mark.parametrize("n", [10, 60, 170])
def test_one_matrix_tells_which_clips_are_in_it(n):
    rng = np.random.default_rng(n)
    points = rng.normal(size=(n + 30, DIMENSION)) @ rng.normal(size=(DIMENSION, DIMENSION)) / 16
    (own,) = pooled_sums([points[:n]])
    deviations = points[:n].std(axis=0, ddof=1)
    judged = nearness(part_of(own, 1), BITS, points / deviations)
    assert auc_with_interval(judged[:n], judged[n:]).value > 0.99


def test_a_sum_over_many_clips_hardly_tells():
    rng = np.random.default_rng(0)
    machines = [rng.normal(size=(170, DIMENSION)) for _ in range(40)]
    everyone = replace(part_of(add(pooled_sums(machines)), 40), machines=40)
    others = rng.normal(size=(170, DIMENSION))
    judged = nearness(everyone, BITS, np.concatenate([machines[0], others]))
    assert auc_with_interval(judged[:170], judged[170:]).value < 0.65
