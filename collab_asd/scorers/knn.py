"""Distance to the nearest normal points: the paper's anomaly score, with two neighbours (section V-B)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from sklearn.neighbors import NearestNeighbors

from collab_asd.config import Metric
from collab_asd.interfaces import FloatArray, ScoreArray


@dataclass
class KnnScorer:
    """Mean distance to the `neighbors` nearest training points.

    Parameters
    ----------
    neighbors : int
        k; fewer where there are fewer training points.
    metric : {"euclidean", "cosine"}
        Cosine distance lies in [0, 2].

    Examples
    --------
    >>> normal = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]], np.float32)
    >>> KnnScorer(metric="euclidean").fit(normal).score(np.array([[0.0, 4.0]], np.float32)).tolist()
    [2.0]
    """

    neighbors: int = 2
    metric: Metric = "euclidean"
    _index: NearestNeighbors = field(init=False, repr=False)
    held_out_folds: ClassVar[int | None] = None

    def fit(self, points: FloatArray) -> Self:
        """Remember the normal points ``[n, d]``."""
        k = min(self.neighbors, len(points))
        self._index = NearestNeighbors(n_neighbors=k, metric=self.metric, algorithm="brute").fit(points)
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Mean distance of each point ``[n, d]`` to its nearest normal points -> ``[n]``."""
        distances, _ = self._index.kneighbors(points)
        return np.asarray(distances.mean(axis=1), dtype=np.float64)

    def score_left_out(self) -> ScoreArray:
        """Score each of the normal points by the others, all at once -> ``[n]``; n >= 2.

        Examples
        --------
        >>> normal = np.array([[0.0], [0.0], [4.0]], np.float32)
        >>> KnnScorer(metric="euclidean").fit(normal).score_left_out().tolist()
        [2.0, 2.0, 4.0]
        """
        neighbors = min(self.neighbors, self._index.n_samples_fit_ - 1)
        distances, _ = self._index.kneighbors(n_neighbors=neighbors)  # without points: each one's own is left out
        return np.asarray(distances.mean(axis=1), dtype=np.float64)
