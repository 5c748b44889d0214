import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.detection.scorers import SCORERS, DetectorSettings, ScorerSettings
from collab_asd.detection.scorers.gaussian import GaussianMixtureScorer, MahalanobisScorer
from collab_asd.detection.scorers.neighbours import KnnScorer, LofScorer


def points(*rows):
    return np.array(rows, np.float32)


def test_knn_is_the_mean_distance_to_two_neighbours():
    scorer = KnnScorer(metric="euclidean").fit(points([0, 0], [3, 4], [100, 0]))
    assert scorer.score(points([0, 0], [3, 4])).tolist() == [2.5, 2.5]


def test_knn_cosine_ignores_length():
    scorer = KnnScorer(neighbors=1, metric="cosine").fit(points([1, 0], [0, 5]))
    assert scorer.score(points([7, 0], [-1, 0], [3, 3])) == pytest.approx([0, 1, 1 - 0.5**0.5], abs=1e-6)


def test_knn_with_fewer_points_than_neighbours():
    assert KnnScorer(neighbors=5, metric="euclidean").fit(points([0.0])).score(points([2.0])).tolist() == [2.0]


@given(st.integers(1, 40), st.integers(1, 30), st.sampled_from(["euclidean", "cosine"]))
def test_knn_scores_a_point_alone_as_in_any_company(count, dimension, metric):
    rng = np.random.default_rng(count)
    scorer = KnnScorer(metric=metric).fit(rng.normal(size=(50, dimension)).astype(np.float32))
    new = rng.normal(size=(count, dimension)).astype(np.float32)
    alone = [scorer.score(new[i : i + 1])[0] for i in range(count)]
    assert scorer.score(new).tolist() == alone


def test_lof_against_its_definition_by_hand():
    """Points 0, 1, 2 and 5 on a line, one neighbour.

    lrd(5): its neighbour is 2, reach-dist = max(k-distance(2), 3) = 3. lrd(2): neighbour 1, reach-dist = max(1, 1) = 1.
    LOF of a new point at 5: lrd(2) / lrd(new) = 3 / 1.
    """
    scorer = LofScorer(neighbors=1, metric="euclidean").fit(points([0.0], [1.0], [2.0]))
    assert scorer.score(points([5.0])) == pytest.approx([3.0])


def test_mahalanobis_of_a_round_cloud_is_distance_in_standard_deviations():
    cloud = np.random.default_rng(0).normal(scale=2.0, size=(20000, 3)).astype(np.float32)
    assert MahalanobisScorer().fit(cloud).score(points([6, 0, 0], [0, 0, 2])) == pytest.approx([3, 1], rel=0.03)


@given(st.integers(3, 40), st.integers(1, 40), st.integers(0, 9))
def test_mahalanobis_is_that_of_the_ledoit_wolf_covariance(count, dimension, seed):
    """Against scikit-learn, which forms the whole covariance and inverts it: more points than dimensions, and fewer."""
    rng = np.random.default_rng(seed)
    normal, new = (rng.normal(size=(n, dimension)).astype(np.float32) for n in (count, 7))
    expected = np.sqrt(LedoitWolf().fit(normal.astype(np.float64)).mahalanobis(new))
    assert MahalanobisScorer().fit(normal).score(new) == pytest.approx(expected, rel=1e-6)


def test_mahalanobis_does_not_depend_on_where_the_points_lie():
    """What is added for rounding is far below the spread of points that are far from 0."""
    normal, new = np.random.default_rng(0).integers(-8, 9, (2, 40, 3)).astype(np.float32) / 64  # exact beside 1024
    here = MahalanobisScorer().fit(normal).score(new)
    assert MahalanobisScorer().fit(normal + 1024).score(new + 1024) == pytest.approx(here, rel=1e-6)


def test_mahalanobis_of_points_that_are_all_the_same_stays_finite():
    scorer = MahalanobisScorer().fit(points([1, 2], [1, 2], [1, 2]))
    near, far = scorer.score(points([1, 2], [1, 3]))
    assert (near, np.isfinite(far)) == (0.0, True)
    assert far > 0


def test_gmm_has_a_gaussian_for_each_of_two_kinds_whatever_the_order():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(side, 0.1, (30, 4)) for side in (-5, 5)]).astype(np.float32)
    between_and_at = np.array([[0.0] * 4, [-5.0] * 4, [5.0] * 4], np.float32)
    scores = GaussianMixtureScorer().fit(points).score(between_and_at)
    assert scores[0] > max(scores[1:]) + 10
    shuffled = GaussianMixtureScorer().fit(points[rng.permutation(len(points))]).score(between_and_at)
    np.testing.assert_array_equal(shuffled, scores)


def test_gmm_of_one_gaussian_is_its_negative_log_likelihood():
    cloud = np.random.default_rng(0).normal([1, -1], [2, 1], size=(20000, 2)).astype(np.float32)
    expected = -multivariate_normal([1, -1], np.diag([4, 1])).logpdf([[3, 0]])
    assert GaussianMixtureScorer(components=1).fit(cloud).score(points([3, 0])) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_every_scorer_scores_a_far_point_higher(name, metric):
    rng = np.random.default_rng(1)
    normal = (np.array([5.0, 0, 0, 0]) + rng.normal(scale=0.3, size=(40, 4))).astype(np.float32)
    near, far = ScorerSettings(name, metric=metric).make().fit(normal).score(points([5, 0.1, 0, 0], [0, 5, 0, 0]))
    assert far > near


def test_unknown_scorer_is_named():
    with pytest.raises(InputError, match=r"'svm'.*fusion, gmm, knn"):
        DetectorSettings.of(RunConfig(scorer="svm"))
    with pytest.raises(InputError, match=r"'fusion'.*gmm, knn"):
        DetectorSettings.of(RunConfig(local_scorer="fusion"))
