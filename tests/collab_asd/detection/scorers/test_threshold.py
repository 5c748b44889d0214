import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma, kstest, norm, pearson3

from collab_asd.detection.thresholds import highest_rate, is_uncertain, p_values, threshold


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_gamma_scores_reach_the_stated_rate(rate):
    scores = gamma(3.0, loc=-2.0).rvs(size=20000, random_state=0)
    limit = threshold(scores, rate, "gamma")
    assert limit == pytest.approx(gamma(3.0, loc=-2.0).ppf(1 - rate), rel=0.05)


@pytest.mark.parametrize("clips", [10, 20, 60])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_few_scores_reach_the_stated_rate_on_average(clips, rate):
    """Of 4,000 draws of gamma scores; their skewness is 1."""
    draws = gamma(4.0).rvs(size=(4000, clips), random_state=1)
    reached = np.mean([gamma(4.0).sf(threshold(scores, rate, "gamma")) for scores in draws])
    assert reached == pytest.approx(rate, rel=0.25, abs=0.003)


@pytest.mark.parametrize("how", ["gamma", "quantile"])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_p_values_fall_below_the_rate_above_its_threshold(rate, how):
    normal = gamma(3.0).rvs(size=150, random_state=2)
    limit = threshold(normal, rate, how)
    below, above = p_values(normal, np.array([limit - 1e-6, limit + 1e-6]), how)
    assert above <= rate < below


@pytest.mark.parametrize("lean", [0.0, -1.5], ids=["symmetric", "to the left"])
def test_scores_that_do_not_lean_to_the_right_have_a_normal_tail(lean):
    scores = pearson3(lean).rvs(size=20000, random_state=4)
    assert threshold(scores, 0.01, "gamma") == pytest.approx(norm(scores.mean(), scores.std()).isf(0.01), rel=0.01)


def test_p_values_of_normal_scores_are_uniform():
    normal, new = gamma(4.0).rvs(size=(2, 5000), random_state=3)
    assert kstest(p_values(normal, new, "gamma"), "uniform").statistic < 0.03


def test_equal_normal_scores_leave_nothing_in_between():
    assert p_values(np.full(5, 2.0), np.array([1.0, 2.0, 3.0]), "gamma").tolist() == [1.0, 1.0, 0.0]


def test_equal_scores_are_their_own_threshold():
    assert threshold(np.full(5, 2.0), 0.1, "gamma") == 2.0


def test_quantile_is_the_conformal_rank():
    # 19 scores at 10 %: rank ceil(20 * 0.9) = 18 of 19.
    assert threshold(np.arange(1.0, 20.0), 0.1, "quantile") == 18.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50), st.floats(0.01, 0.5))
def test_quantile_lets_at_most_its_share_through(scores, rate):
    limit = threshold(np.array(scores), rate, "quantile")
    assert limit in scores
    assert sum(s > limit for s in scores) <= rate * len(scores)


def test_the_highest_rate_holds_19_times_in_20():
    """Of conformal thresholds from 39 normals at 10 %, the fourth highest; 2,000 draws of uniform scores."""
    rng = np.random.default_rng(0)
    rates = [1 - threshold(rng.uniform(size=39), 0.1, "quantile") for _ in range(2000)]
    assert np.mean(np.array(rates) <= highest_rate(39, 0.1)) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("normals", "rate", "uncertain"), [(0, 0.1, True), (29, 0.1, True), (30, 0.1, False), (100, 0.01, True)]
)
def test_a_threshold_from_few_normals_is_uncertain(normals, rate, uncertain):
    assert is_uncertain(normals, rate) == uncertain
