import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from collab_asd.scorers.threshold import threshold


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_gamma_scores_reach_the_stated_rate(rate):
    scores = gamma(3.0, loc=-2.0).rvs(size=20000, random_state=0)
    limit = threshold(scores, rate, "gamma")
    assert limit == pytest.approx(gamma(3.0, loc=-2.0).ppf(1 - rate), rel=0.05)


def test_symmetric_scores_fall_back_to_the_normal_distribution():
    scores = np.array([-1.0, 1.0])
    assert threshold(scores, 0.1, "gamma") == pytest.approx(1.2815515655446004)


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
