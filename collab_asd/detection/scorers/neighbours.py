"""Scorers that look at the nearest normal points: their mean distance, and how sparse the neighbourhood is.

The paper names k-NN with two neighbours (section V-B), not how their distances become one score. Here it is their mean.

References
----------
M. M. Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000: the local outlier factor, computed
by scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from collab_asd.config import Metric
from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers import by_folds, unit_length

if TYPE_CHECKING:
    from sklearn.neighbors import LocalOutlierFactor


@dataclass
class KnnScorer:
    """Mean distance to the `neighbors` nearest training points.

    Distances are computed pair by pair, not by the faster expansion into matrix products: the score of a clip is then
    the same to the last bit, whichever clips are scored beside it, today or by a saved detector tomorrow.

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
    _normal: Tensor = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Remember the normal points ``[n, d]``."""
        self._normal = self._prepare(points)
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Mean distance of each point ``[n, d]`` to its nearest normal points -> ``[n]``."""
        return self._mean_of_nearest(self.distances(points))

    def distances(self, points: FloatArray) -> Tensor:
        """Distance of each point ``[m, d]`` to each of the normal points ``[n, d]`` -> ``[m, n]``."""
        return self._distances(self._prepare(points))

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` by those of the other clips -> ``[n]``; `clips` says whose each is.

        Examples
        --------
        >>> normal = np.array([[0.0], [0.0], [4.0]], np.float32)
        >>> KnnScorer(metric="euclidean").held_out(normal, np.arange(3)).tolist()
        [2.0, 2.0, 4.0]
        """
        self.fit(points)
        owner = torch.from_numpy(clips)
        scores = np.empty(len(points))
        for clip in np.unique(clips):
            own = owner == clip
            scores[own.numpy()] = self._mean_of_nearest(self._distances(self._normal[own])[:, ~own])
        return scores

    def _prepare(self, points: FloatArray) -> Tensor:
        return torch.from_numpy((unit_length(points) if self.metric == "cosine" else points).astype(np.float64))

    def _distances(self, prepared: Tensor) -> Tensor:
        lengths = torch.cdist(prepared, self._normal, compute_mode="donot_use_mm_for_euclid_dist")
        return lengths.square() / 2 if self.metric == "cosine" else lengths

    def _mean_of_nearest(self, distances: Tensor) -> ScoreArray:
        nearest = distances.topk(min(self.neighbors, distances.shape[1]), largest=False).values
        return nearest.mean(dim=1).numpy()


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
        from sklearn.neighbors import LocalOutlierFactor

        k = min(self.neighbors, len(points) - 1)
        self._model = LocalOutlierFactor(n_neighbors=k, metric=self.metric, algorithm="brute", novelty=True).fit(points)
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Outlier factor of each point ``[n, d]`` -> ``[n]`` (scikit-learn's sign turned round)."""
        return -np.asarray(self._model.score_samples(points), dtype=np.float64)

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` unseen, see `by_folds` -> ``[n]``; `clips` says whose each is."""
        return by_folds(lambda: replace(self), points, clips)
