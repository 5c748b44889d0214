"""Mahalanobis distance to the mean of the normal points."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from sklearn.covariance import LedoitWolf

from collab_asd.interfaces import ClipNumbers, FloatArray, ScoreArray
from collab_asd.scorers.held_out import by_folds
from collab_asd.scorers.normalize import unit_length


@dataclass
class MahalanobisScorer:
    """Distance to the mean in units of the normal points' own spread.

    The covariance is shrunk (Ledoit & Wolf, 2004), since there may be fewer clips than dimensions.

    Parameters
    ----------
    normalize : bool
        Scale points to unit length first, so that only their direction counts.
    """

    normalize: bool = False
    _model: LedoitWolf = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Estimate mean and covariance of normal points ``[n, d]``."""
        self._model = LedoitWolf().fit(self._prepare(points))
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Mahalanobis distance of each point ``[n, d]`` -> ``[n]``."""
        squared = self._model.mahalanobis(self._prepare(points))
        return np.sqrt(np.maximum(np.asarray(squared, dtype=np.float64), 0.0))

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` unseen, see `by_folds` -> ``[n]``; `clips` says whose each is."""
        return by_folds(lambda: replace(self), points, clips)

    def _prepare(self, points: FloatArray) -> ScoreArray:
        return (unit_length(points) if self.normalize else points).astype(np.float64)
