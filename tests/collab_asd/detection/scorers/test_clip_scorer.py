import numpy as np
import pytest

from collab_asd.core.types import SpaceScores
from collab_asd.detection.scorers import SCORERS, ClipScorer, ScorerSettings, fuse


def knn(pooling="mean-embedding", metric="euclidean"):
    return ScorerSettings("knn", metric=metric, pooling=pooling)


def clip(*windows):
    return np.array(windows, np.float32).reshape(len(windows), -1)


NORMALS = [clip(0.0), clip(0.0), clip(4.0)]


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean-embedding", 4.0),  # one point at 4, twice 4 from the zeros
        ("mean", (2 + 6) / 2),  # windows at 2 and 6
        ("max", 6.0),
        ("top-k", (2 + 6) / 2),  # fewer than five windows: all of them
    ],
)
def test_poolings_by_hand(pooling, expected):
    scorer = ClipScorer(knn(pooling)).fit([clip(0.0), clip(0.0)])
    assert scorer.score(clip(2.0, 6.0)) == expected


def test_top_k_is_the_mean_of_the_five_highest():
    scorer = ClipScorer(knn("top-k")).fit([clip(0.0), clip(0.0)])
    assert scorer.score(clip(*range(1, 9))) == (4 + 5 + 6 + 7 + 8) / 5


def test_held_out_scores_leave_each_clip_out():
    # 0 sees {0, 4}: mean 2; 0 sees the same; 4 sees {0, 0}: mean 4.
    assert ClipScorer(knn()).held_out_scores(NORMALS).tolist() == [2.0, 2.0, 4.0]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("pooling", ["mean-embedding", "mean"])
def test_leaving_out_at_once_is_leaving_out_one_by_one(metric, pooling):
    settings = knn(pooling, metric)
    clips = list(np.random.default_rng(0).normal(size=(15, 3, 6)).astype(np.float32))
    one_by_one = [ClipScorer(settings).fit(clips[:i] + clips[i + 1 :]).score(clips[i]) for i in range(len(clips))]
    assert ClipScorer(settings).held_out_scores(clips).tolist() == one_by_one


def test_held_out_windows_of_one_clip_do_not_see_each_other():
    clips = [clip(0.0, 0.0), clip(3.0, 3.0)]
    assert ClipScorer(knn("mean")).held_out_scores(clips).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("name", SCORERS)
def test_a_clip_held_out_scores_higher_than_one_that_was_seen(name):
    """Leaving out is more than a name: the farthest normal clip scores higher once its model has not seen it."""
    rng = np.random.default_rng(3)
    clips = [clip(*rng.normal(size=(2, 4))) for _ in range(30)] + [clip(*np.full((2, 4), 6.0))]
    scorer = ClipScorer(ScorerSettings(name))
    assert scorer.held_out_scores(clips)[-1] > scorer.fit(clips).score(clips[-1])


def test_a_single_clip_has_nothing_to_be_scored_by():
    assert ClipScorer(knn()).held_out_scores([clip(1.0)]).tolist() == [0.0]


def test_fusion_sums_z_scores():
    a = SpaceScores(normal=np.array([1.0, 3.0]), test=np.array([4.0]))  # mean 2, deviation 1
    b = SpaceScores(normal=np.array([0.0, 20.0]), test=np.array([0.0]))  # mean 10, deviation 10
    fused = fuse([a, b])
    assert (fused.normal.tolist(), fused.test.tolist()) == ([-2.0, 2.0], [2.0 - 1.0])


def test_one_space_alone_is_left_as_it_is():
    a = SpaceScores(normal=np.array([1.0, 3.0]), test=np.array([4.0]))
    assert fuse([a]) is a


def in_units(*deviations):
    """Log scores so many deviations from a mean of 0: held-out ones at -1 and 1."""
    return np.exp([-1.0, 1.0]), np.exp(np.array(deviations))


def test_of_views_of_the_same_thing_the_one_that_shows_a_fault_counts():
    one, other = (SpaceScores(*in_units(*test), view="spectra") for test in ([0.0, 9.0, 1.0], [0.0, 0.0, 1.0]))
    both = fuse([one, other], [0.0, 0.0])
    np.testing.assert_allclose(both.test, [0.0, 9.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(both.normal, [-1.0, 1.0])


def test_views_count_once_and_beside_what_is_no_view():
    views = [SpaceScores(*in_units(2.0), view="spectra") for _ in range(3)]
    shared = SpaceScores(*in_units(5.0))
    # two clips weigh 2 / (2 + 2) of the shared space and all of the views
    assert fuse([shared, *views], [2.0, 0.0, 0.0, 0.0]).test == pytest.approx([5.0 / 2 + 2.0])
