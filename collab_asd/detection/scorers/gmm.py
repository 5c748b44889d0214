"""Negative log-likelihood under a Gaussian mixture of the normal points."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from sklearn.mixture import GaussianMixture

from collab_asd.config import Metric
from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers.clip_scorer import by_folds, unit_length


@dataclass
class GaussianMixtureScorer:
    """How unlikely a point is among the normal ones, in nats.

    Diagonal covariances with a floor relative to the data's own variance: embeddings have more dimensions than a
    machine has clips.

    Parameters
    ----------
    components : int
        Number of Gaussians; fewer where there are fewer points.
    metric : {"euclidean", "cosine"}
        Cosine: points are scaled to unit length first, so that only their direction counts.
    """

    components: int = 2
    metric: Metric = "euclidean"
    _model: GaussianMixture = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Fit the mixture to normal points ``[n, d]``; their order does not matter."""
        prepared = self._prepare(points)
        prepared = prepared[np.lexsort(prepared.T)]  # which components begin where is drawn by position
        rounding = float(np.finfo(np.float32).eps) ** 2 * float((prepared**2).mean())
        floor = max(1e-2 * float(prepared.var(axis=0).mean()), 1e-12, rounding)
        distinct = 1 if (prepared == prepared[0]).all() else len(points)
        self._model = GaussianMixture(
            n_components=min(self.components, distinct), covariance_type="diag", reg_covar=floor, random_state=0
        ).fit(prepared)
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Negative log-likelihood of each point ``[n, d]`` -> ``[n]``."""
        return -np.asarray(self._model.score_samples(self._prepare(points)), dtype=np.float64)

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` unseen, see `by_folds` -> ``[n]``; `clips` says whose each is."""
        return by_folds(lambda: replace(self), points, clips)

    def _prepare(self, points: FloatArray) -> ScoreArray:
        return (unit_length(points) if self.metric == "cosine" else points).astype(np.float64)
