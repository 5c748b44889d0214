"""A scorer: how far a point lies from the median, which a few outliers among the normal points do not move."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from collab_asd.config import Metric
from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers import by_folds, unit_length


@dataclass
class RobustScorer:
    """Mean over dimensions of the distance to the median, in units of the median distance of the normal points."""

    metric: Metric = "euclidean"
    _median: ScoreArray = field(init=False, repr=False)
    _spread: ScoreArray = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Learn median and spread of normal points ``[n, d]``."""
        prepared = self._prepare(points)
        self._median = np.median(prepared, axis=0)
        self._spread = np.maximum(np.median(np.abs(prepared - self._median), axis=0), 1e-6)
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Distance of each point ``[n, d]`` -> ``[n]``; higher is more anomalous."""
        return (np.abs(self._prepare(points) - self._median) / self._spread).mean(axis=1)

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` by models that have not seen their clip -> ``[n]``."""
        return by_folds(lambda: replace(self), points, clips)

    def _prepare(self, points: FloatArray) -> ScoreArray:
        return (unit_length(points) if self.metric == "cosine" else points).astype(np.float64)
