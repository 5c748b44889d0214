"""Mahalanobis distance to the mean of the normal points."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from collab_asd.config import Metric
from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers.clip_scorer import by_folds, unit_length

NEGLIGIBLE = 1e-12  # of the largest variance
ROUNDING = float(np.finfo(np.float32).eps) ** 2
LEAST_SHRINKAGE = 1e-6  # two points say nothing of the directions that they do not differ in


@dataclass
class MahalanobisScorer:
    """Distance to the mean in units of the normal points' own spread.

    There are often fewer clips than dimensions, so the covariance S is shrunk towards a multiple of the identity:
    ``(1 - s) S + s m I`` with m the mean variance and s by Ledoit & Wolf. It is kept as principal axes, of which there
    are no more than points: a covariance of 6,144 dimensions would take 300 MB, and minutes to invert.

    Parameters
    ----------
    metric : {"euclidean", "cosine"}
        Cosine: points are scaled to unit length first, so that only their direction counts.

    References
    ----------
    O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
    Multivariate Analysis 88, 2004.
    """

    metric: Metric = "euclidean"
    _mean: ScoreArray = field(init=False, repr=False)
    _axes: ScoreArray = field(init=False, repr=False)
    _variances: ScoreArray = field(init=False, repr=False)
    _elsewhere: float = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Estimate mean and covariance of normal points ``[n, d]``."""
        prepared = self._prepare(points)
        self._mean = prepared.mean(axis=0)
        centred = prepared - self._mean
        variances, self._axes = principal_axes(centred)
        shrinkage, mean_variance = ledoit_wolf(centred, variances), variances.sum() / centred.shape[1]
        rounding = ROUNDING * float((prepared**2).mean())  # all that varies where the points are copies of one
        floor = max(LEAST_SHRINKAGE * mean_variance, rounding) or 1.0
        self._elsewhere = max(shrinkage * mean_variance, floor)
        self._variances = (1 - shrinkage) * variances + self._elsewhere
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Mahalanobis distance of each point ``[n, d]`` -> ``[n]``."""
        centred = self._prepare(points) - self._mean
        along = centred @ self._axes.T
        squared = (along**2 / self._variances).sum(axis=1)
        if len(self._axes) < centred.shape[1]:
            squared += np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0) / self._elsewhere
        return np.asarray(np.sqrt(squared))

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` unseen, see `by_folds` -> ``[n]``; `clips` says whose each is."""
        return by_folds(lambda: replace(self), points, clips)

    def _prepare(self, points: FloatArray) -> ScoreArray:
        return (unit_length(points) if self.metric == "cosine" else points).astype(np.float64)


def principal_axes(centred: ScoreArray) -> tuple[ScoreArray, ScoreArray]:
    """Variances ``[r]`` and orthonormal axes ``[r, d]`` of points ``[n, d]`` of mean 0; r is at most n and d."""
    n, d = centred.shape
    if n > d:
        variances, vectors = np.linalg.eigh(centred.T @ centred / n)
        return np.maximum(variances, 0.0), vectors.T
    variances, vectors = np.linalg.eigh(centred @ centred.T / n)
    kept = variances > NEGLIGIBLE * max(float(variances[-1]), float(np.finfo(np.float64).tiny))
    axes = vectors[:, kept].T @ centred / np.sqrt(n * variances[kept])[:, None]
    return variances[kept], axes


def ledoit_wolf(centred: ScoreArray, variances: ScoreArray) -> float:
    """Shrinkage in [0, 1] for points ``[n, d]`` of mean 0 and the variances along their principal axes."""
    n, d = centred.shape
    total, squares = float(variances.sum()), float((variances**2).sum())
    dispersion = (squares - total * total / d) / d  # delta of the paper: of S around m I
    error = (float(((centred**2).sum(axis=1) ** 2).mean()) - squares) / (n * d)  # beta: of S around the truth
    if dispersion <= NEGLIGIBLE * squares:
        return 0.0  # S is a multiple of I already
    return float(min(max(error, 0.0), dispersion) / dispersion)
