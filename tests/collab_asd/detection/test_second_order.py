"""Second-order statistics: closed forms, and that nothing shared is the local detector."""

import numpy as np
import pytest

from collab_asd.detection.scorers.gaussian import SpectrumScorer, choose_weight, contiguous_folds, mixed
from collab_asd.detection.second_order import (
    Others,
    add,
    clip_features,
    pooled_sums,
    scatter,
    standard_deviations,
    suits,
)


def normal_clips(n: int, seed: int, d: int = 6) -> np.ndarray:
    """Draw points whose dimensions go together in the same way for all seeds."""
    mixing = np.random.default_rng(0).normal(size=(d, d))
    return np.random.default_rng(seed).normal(size=(n, d)) @ mixing + seed


def test_a_clip_is_its_mean_spectrum_and_the_spread_of_its_changes():
    frames = np.zeros((3, 128), np.float32)
    frames[:, 0] = [1, 3, 1]  # differences 2 and -2: mean 0, standard deviation 2
    features = clip_features(frames)
    assert features.shape == (256,)
    assert features[[0, 1, 128, 129]] == pytest.approx([5 / 3, 0, 2, 0])


def test_scatter_is_about_the_points_own_mean():
    assert scatter(np.array([[1.0, 0], [3, 0], [2, 3]])) == pytest.approx(np.array([[2.0, 0], [0, 6]]))


def test_deviations_are_held_up_by_what_the_others_say():
    squares = np.array([2.0])
    assert standard_deviations(squares, 1) == pytest.approx([np.sqrt(2)])
    pooled = (2 + 3 * 6) / 4
    assert standard_deviations(squares, 1, 3, np.array([6.0])) == pytest.approx([np.sqrt((2 + 50 * pooled) / 51)])


def test_a_band_that_never_changes_counts_as_if_it_varied_by_a_hundredth_of_a_decibel():
    silent = np.zeros(1)
    assert standard_deviations(silent, 9) == pytest.approx([0.01])
    assert standard_deviations(silent, 9, 30, silent) == pytest.approx([0.01])


def test_shrinkage_of_a_multiple_of_the_identity_leaves_it():
    assert mixed(200 * np.eye(4), 100, None, 0) == pytest.approx(2 * np.eye(4))


def test_shrinkage_by_the_formula():
    covariance = np.diag([3.0, 1.0])  # trace 4, squares 10, dispersion 10 - 16 / 2 = 2
    weight = (10 + 16) / (51 * 2)
    assert mixed(50 * covariance, 50, None, 0) == pytest.approx((1 - weight) * covariance + weight * 2 * np.eye(2))


def test_one_machine_alone_is_the_local_detector_to_the_bit():
    points = normal_clips(12, 1)
    (own,) = pooled_sums([points])
    others = add([own]).without(own)
    assert others is None
    shared, local = SpectrumScorer(others).fit(points), SpectrumScorer().fit(points)
    assert np.array_equal(shared.score(points), local.score(points))


def test_the_sum_without_a_machine_is_the_others_covariance():
    machines = [normal_clips(n, seed) for n, seed in ((9, 1), (20, 2), (15, 3))]
    parts = pooled_sums(machines)
    others = add(parts).without(parts[0])
    assert others is not None
    assert others.dof == 19 + 14
    assert others.covariance == pytest.approx((parts[1].scatter + parts[2].scatter) / 33)
    assert others.variances == pytest.approx((machines[1].var(0) * 20 + machines[2].var(0) * 15) / 33)


def test_a_machine_with_few_clips_learns_from_alike_ones():
    truth = SpectrumScorer().fit(normal_clips(5000, 1))
    points, fresh = normal_clips(8, 1), normal_clips(200, 1)
    parts = pooled_sums([points, *(normal_clips(60, seed) for seed in range(2, 6))])
    others = add(parts).without(parts[0])
    errors = [
        np.abs(SpectrumScorer(given).fit(points).score(fresh) - truth.score(fresh)).mean() for given in (others, None)
    ]
    assert errors[0] < errors[1] / 2


def test_the_others_count_for_little_where_they_are_unlike():
    points = normal_clips(200, 1)
    rng = np.random.default_rng(5)
    covariance = np.cov(rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)), rowvar=False)
    deviations = np.sqrt(np.diag(covariance))
    unlike = Others(500, points.var(axis=0), covariance / np.outer(deviations, deviations))
    assert choose_weight(points, unlike) <= 10
    alike = pooled_sums([points, normal_clips(500, 2)])
    assert choose_weight(points, add(alike).without(alike[0])) > 100


def test_mixing_weighs_both_by_their_clips():
    own, others = 4 * np.eye(2), Others(1000, np.ones(2), 3 * np.eye(2))
    assert mixed(own, 4, others, 4.0) == pytest.approx(2 * np.eye(2))  # (4 I + 4 x 3 I) / 8


def test_folds_are_runs_of_neighbours_that_cover_all():
    folds = list(contiguous_folds(7, 3))
    assert [held_out.tolist() for _, held_out in folds] == [[0, 1, 2], [3, 4], [5, 6]]
    assert all(sorted([*kept, *held_out]) == list(range(7)) for kept, held_out in folds)


def held_out_scores(points, others=None):
    return SpectrumScorer(others).held_out(points, np.arange(len(points)))


def test_a_held_out_score_does_not_know_its_clip():
    points = normal_clips(20, 1)
    before = held_out_scores(points)
    points[0] += 100
    after = held_out_scores(points)
    assert after[0] > 10 * before[0]


def judged(points, others):
    """Held-out scores without and with the others."""
    return held_out_scores(points), held_out_scores(points, others)


@pytest.mark.parametrize("n", [10, 40, 150])
def test_pooling_suits_machines_that_vary_alike(n):
    parts = pooled_sums([normal_clips(n, 1), *(normal_clips(n, seed) for seed in range(2, 6))])
    assert suits(*judged(normal_clips(n, 1), add(parts).without(parts[0])))


def test_pooling_does_not_suit_machines_with_each_others_clips_among_their_own():
    """A tenth of each machine's normal clips is another's: what tells the two is then a way in which all vary."""
    means = 6 * np.random.default_rng(0).normal(size=(4, 256))
    machines = []
    for i in range(4):
        clips = np.random.default_rng(1 + i).normal(size=(40, 256)) + means[i]
        for j in range(4):
            clips[10 * j] += means[(i + 1 + j % 3) % 4] - means[i]
        machines.append(clips)
    parts = pooled_sums(machines)
    assert not suits(*judged(machines[0], add(parts).without(parts[0])))


def test_scores_that_differ_by_a_factor_say_the_same():
    alone = np.random.default_rng(0).uniform(1, 2, 20)
    assert suits(alone, 7 * alone)
    assert not suits(alone, alone * np.exp(np.resize([0.5, -0.5], 20)))
