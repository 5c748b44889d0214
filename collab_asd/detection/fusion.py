"""Fusing the scores of several spaces without labels.

Outlier exposure helps where machines differ in what fails, and hurts where they do not; the local space has the
opposite strengths. Their sum keeps both. Nothing more is sent: the local space never leaves the client.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collab_asd.core.types import ScoreArray, SpaceScores

LEAST_SPREAD = 1e-6  # of the mean: below, the scores differ by rounding


def fuse(spaces: Sequence[SpaceScores]) -> SpaceScores:
    """Sum the scores of the same clips in several spaces, each in units of the machine's own normals.

    Each space is z-scored with the mean and standard deviation of its held-out normal scores; where these hardly
    differ, with a millionth of their mean, and where that is 0, too, with 1. One space alone is returned as it is.
    """
    if len(spaces) == 1:
        return spaces[0]
    scaled = [_z_scored(space) for space in spaces]
    return SpaceScores(normal=_total([s.normal for s in scaled]), test=_total([s.test for s in scaled]))


def _total(parts: Sequence[ScoreArray]) -> ScoreArray:
    return np.asarray(np.sum(parts, axis=0))


def _z_scored(space: SpaceScores) -> SpaceScores:
    mean = space.normal.mean()
    spread = max(float(space.normal.std()), LEAST_SPREAD * abs(float(mean))) or 1.0
    return SpaceScores(normal=(space.normal - mean) / spread, test=(space.test - mean) / spread)
