import numpy as np
import pytest

from collab_asd.audit.measures import (
    auc_with_interval,
    balanced_accuracy_with_interval,
    likeness,
    log_spectral_distance,
    mean_with_interval,
    over_draws,
    rate_with_interval,
    reidentified,
)


def test_log_spectral_distance_is_in_decibels():
    truth = np.zeros((2, 4), np.float32)
    assert log_spectral_distance(truth + 3, truth) == 3.0
    estimate = np.array([[2, 0, 0, 0], [0, 4, 4, 0]], np.float32)
    assert log_spectral_distance(estimate, truth) == pytest.approx((1 + np.sqrt(8)) / 2)


def test_likeness_is_blind_to_what_all_clips_share_and_to_scale():
    rng = np.random.default_rng(0)
    truths = [rng.standard_normal((4, 5)).astype(np.float32) for _ in range(3)]
    estimates = [0.1 * truth + 7 for truth in truths]
    alike = likeness(estimates, truths)
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    assert reidentified(alike).tolist() == [True, True, True]
    assert reidentified(alike[[1, 0, 2]]).tolist() == [False, False, True]
    assert reidentified(np.zeros((3, 3), np.float32)).tolist() == [False] * 3  # a constant points to nobody


def test_rate_has_the_exact_interval():
    found = rate_with_interval(np.array([False] * 10))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_mean_has_the_interval_of_the_central_limit():
    values = np.random.default_rng(1).standard_normal(400)
    found = mean_with_interval(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_auc_of_members():
    assert auc_with_interval(np.array([3.0, 4]), np.array([1.0, 2])).value == 1.0
    assert auc_with_interval(np.array([1.0, 4]), np.array([2.0, 3])).value == 0.5


def test_balanced_accuracy_of_a_constant_is_that_of_chance():
    truth = np.array(["a"] * 9 + ["b"])
    assert balanced_accuracy_with_interval(truth, np.array(["a"] * 10)).value == 0.5


def test_over_draws_lie_their_mean_and_their_quantiles():
    found = over_draws([i / 40 for i in range(41)])
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
