"""Local outlier factor (Breunig et al., SIGMOD 2000), by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from sklearn.neighbors import LocalOutlierFactor

from collab_asd.config import Metric
from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers.clip_scorer import by_folds


@dataclass
class LofScorer:
    """How much sparser the neighbourhood of a point is than those of its neighbours; about 1 inside a cluster.

    Parameters
    ----------
    neighbors : int
        Size of the neighbourhood; at most one less than there are training points.
    metric : {"euclidean", "cosine"}
    """

    neighbors: int = 4
    metric: Metric = "euclidean"
    _model: LocalOutlierFactor = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Learn the local densities of normal points ``[n, d]``, n >= 2."""
        k = min(self.neighbors, len(points) - 1)
        self._model = LocalOutlierFactor(n_neighbors=k, metric=self.metric, algorithm="brute", novelty=True).fit(points)
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Outlier factor of each point ``[n, d]`` -> ``[n]`` (scikit-learn's sign turned round)."""
        return -np.asarray(self._model.score_samples(points), dtype=np.float64)

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` unseen, see `by_folds` -> ``[n]``; `clips` says whose each is."""
        return by_folds(lambda: replace(self), points, clips)
