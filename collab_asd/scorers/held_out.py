"""Scoring normal points by models that have not seen them, for scorers that must be fitted anew for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from collab_asd.interfaces import AnomalyScorer, ClipNumbers, FloatArray, ScoreArray

FOLDS = 10


def by_folds(unfitted: Callable[[], AnomalyScorer], points: FloatArray, clips: ClipNumbers) -> ScoreArray:
    """Score normal points ``[n, d]`` by models fitted to nine tenths of the clips that do not include theirs.

    Parameters
    ----------
    unfitted : callable
        Builds a scorer.
    points : FloatArray
    clips : ClipNumbers
        ``[n]``: the clip that each point is from.
    """
    scores = np.empty(len(points))
    numbers = np.unique(clips)
    for unseen in np.array_split(numbers, min(FOLDS, len(numbers))):
        out = np.isin(clips, unseen)
        scores[out] = unfitted().fit(points[~out]).score(points[out])
    return scores
