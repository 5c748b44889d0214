"""Machines whose normal clips hardly differ, if at all: scores and thresholds are numbers all the same."""

import warnings

import numpy as np
import pytest

from collab_asd.core.types import SpaceScores
from collab_asd.detection.scorers import SCORERS, ClipScorer, ScorerSettings, fuse
from collab_asd.detection.thresholds import threshold

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(12, 20)).astype(np.float32)
NORMALS = {
    "silence": 0 * POINTS,
    "one clip twelve times": np.repeat(POINTS[:1], 12, axis=0),
    "two clips six times": np.repeat(POINTS[:2], 6, axis=0),
    "rounding": POINTS[:1] + np.float32(1e-7) * POINTS,
    "a line": POINTS[:1] + np.outer(POINTS[:, 0], POINTS[1]),
}
TESTS = RNG.normal(size=(5, 20)).astype(np.float32)


def clips(points, scale):
    return [point[np.newaxis] * np.float32(scale) for point in points]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("normals", NORMALS)
def test_scores_thresholds_and_their_fusion_are_finite(normals, metric, scale):
    spaces = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Best performing initialization did not converge")
        for name in SCORERS:
            scorer = ClipScorer(ScorerSettings(name, metric))
            held_out = scorer.held_out_scores(clips(NORMALS[normals], scale))
            scorer.fit(clips(NORMALS[normals], scale))
            spaces.append(SpaceScores(held_out, np.array([scorer.score(clip) for clip in clips(TESTS, scale)])))
    spaces += [fuse([a, b]) for a in spaces for b in spaces]
    for space in spaces:
        assert np.isfinite(space.normal).all()
        assert np.isfinite(space.test).all()
        assert all(np.isfinite(threshold(space.normal, 0.1, how)) for how in ("gamma", "quantile"))


def test_space_without_spread_is_in_units_of_its_mean_or_of_one():
    level, nothing = (SpaceScores(np.full(4, value), np.array([value + 1.0])) for value in (1e3, 0.0))
    assert fuse([level, nothing]).test.tolist() == [1.0 / (1e3 * 1e-6) + 1.0]


def test_scores_that_differ_by_rounding_raise_no_alarm():
    scores = 1e3 + 1e-13 * np.arange(5)
    assert threshold(scores, 0.1, "gamma") == scores.max()
