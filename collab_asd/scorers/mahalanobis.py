"""Mahalanobis distance to the mean of the normal points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from sklearn.covariance import LedoitWolf

from collab_asd.interfaces import FloatArray, ScoreArray
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
    held_out_folds: ClassVar[int | None] = 10

    def fit(self, points: FloatArray) -> Self:
        """Estimate mean and covariance of normal points ``[n, d]``."""
        self._model = LedoitWolf().fit(self._prepare(points))
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Mahalanobis distance of each point ``[n, d]`` -> ``[n]``."""
        squared = self._model.mahalanobis(self._prepare(points))
        return np.sqrt(np.maximum(np.asarray(squared, dtype=np.float64), 0.0))

    def _prepare(self, points: FloatArray) -> ScoreArray:
        return (unit_length(points) if self.normalize else points).astype(np.float64)
