"""Fusing the scores of several spaces without labels.

Outlier exposure helps where machines differ in what fails, and hurts where they do not; the local space has the
opposite strengths. Their sum keeps both. Nothing more is sent: the local space never leaves the client.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collab_asd.core.types import ScoreArray, SpaceScores


def fuse(spaces: Sequence[SpaceScores]) -> SpaceScores:
    """Sum the scores of the same clips in several spaces, each in units of the machine's own normals.

    Each space is z-scored with the mean and standard deviation of its held-out normal scores. One space alone is
    returned as it is.
    """
    if len(spaces) == 1:
        return spaces[0]
    scaled = [_z_scored(space) for space in spaces]
    return SpaceScores(normal=_total([s.normal for s in scaled]), test=_total([s.test for s in scaled]))


def _total(parts: Sequence[ScoreArray]) -> ScoreArray:
    return np.asarray(np.sum(parts, axis=0))


def _z_scored(space: SpaceScores) -> SpaceScores:
    mean, spread = space.normal.mean(), max(float(space.normal.std()), np.finfo(np.float64).tiny)
    return SpaceScores(normal=(space.normal - mean) / spread, test=(space.test - mean) / spread)
