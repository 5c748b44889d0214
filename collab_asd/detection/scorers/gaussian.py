"""Scorers that describe the normal points by Gaussians: Mahalanobis distances, and the likelihood under a mixture.

The Mahalanobis distance between summaries of spectra, of clips or of their segments, is made for a dozen clips or more.

References
----------
O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate
Analysis 88, 2004. J. H. Friedman, "Regularized discriminant analysis", JASA 84, 1989. Y. Chen, A. Wiesel, Y. C. Eldar
and A. O. Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE Transactions on Signal Processing 58, 2010.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from collab_asd.config import Metric
from collab_asd.core.torch_audio import MEL_BANDS
from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers import by_folds, unit_length
from collab_asd.detection.second_order import Others, scatter, squares_of, standard_deviations

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

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


LEAST_SHRINKAGE_OF_SPECTRA = 0.01
SPREAD_TARGET = 10.0  # variance that shrinkage assumes for the second block, relative to the first
WEIGHTS = (10.0, 30.0, 100.0, 300.0, 1000.0)  # clips that the others' covariance may count as much as
ENOUGH_ALONE = 10  # clips from which a machine's own covariance may do without the others'
CHOICE_FOLDS = 5
TINY = 1e-12  # of a matrix of zeros: keeps it invertible


@dataclass
class SpectrumScorer:
    """Mahalanobis distance of points of `collab_asd.detection.second_order.ClipSpectrum` to a machine's normal ones.

    Parameters
    ----------
    others : Others or None
        What the other machines of the group have told; None where the machine is on its own.
    weight : float or None
        Clips that the others count as much as; None: what predicts held-out clips best, by `choose_weight`.
    """

    others: Others | None = None
    weight: float | None = None
    _mean: ScoreArray = field(init=False, repr=False)
    _deviations: ScoreArray = field(init=False, repr=False)
    _root: ScoreArray = field(init=False, repr=False)

    def fit(self, points: FloatArray | ScoreArray) -> Self:
        """Estimate mean and covariance of normal points ``[n, d]``."""
        points = points.astype(np.float64)  # a copy, which is overwritten
        weight = choose_weight(points, self.others) if self.weight is None else self.weight
        given = (0, None) if self.others is None else (self.others.dof, self.others.variances)
        self._mean = points.mean(axis=0)
        self._deviations = standard_deviations(squares_of(points), len(points) - 1, *given)
        points /= self._deviations
        covariance = mixed(scatter(points, overwrite=True), len(points) - 1, self.others, weight)
        self._root = np.asarray(np.linalg.cholesky(covariance), np.float64)
        return self

    def score(self, points: FloatArray | ScoreArray) -> ScoreArray:
        """Distance of each point ``[n, d]`` to the mean -> ``[n]``."""
        standardized = (points.astype(np.float64) - self._mean) / self._deviations
        return lengths(standardized, self._root)

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` by models of contiguous folds; `clips` ranks them as they were recorded."""
        order = np.argsort(clips, kind="stable")
        scores, ordered = np.empty(len(points)), points[order]
        weight = choose_weight(ordered.astype(np.float64), self.others) if self.weight is None else self.weight
        scores[order] = by_folds(lambda: replace(self, weight=weight), ordered, clips[order])
        return scores


def lengths(standardized: ScoreArray, root: ScoreArray) -> ScoreArray:
    """Return Mahalanobis lengths ``[n]`` of vectors ``[n, d]`` by the Cholesky factor ``[d, d]`` of a covariance."""
    whitened = solve_triangular(root, standardized.T, lower=True)
    return np.asarray(np.sqrt((whitened**2).sum(axis=0)))


def mixed(own: ScoreArray, dof: int, others: Others | None, weight: float) -> ScoreArray:
    """Mix a machine's standardised scatter ``[d, d]`` with the others' covariance, and shrink -> ``[d, d]``.

    The target of shrinkage is diagonal: 1 for mean levels and 10 for spreads, which fluctuate more than a few clips
    show, times the mean variance. Its weight is that of oracle approximating shrinkage (Chen et al. 2010), at least
    0.01.

    Parameters
    ----------
    own : ScoreArray
    dof : int
        Its degrees of freedom.
    others : Others or None
    weight : float
        nu: clips that the others' covariance counts as much as.
    """
    if others is None or not weight:
        covariance, effective = own / max(dof, 1), float(dof)
    else:
        covariance = (own + weight * others.covariance) / (dof + weight)
        effective = (dof + weight) ** 2 / (dof + weight**2 / others.dof)
    d = len(covariance)
    trace, squares = float(np.trace(covariance)), float((covariance**2).sum())
    dispersion = squares - trace**2 / d
    share = 1.0 if dispersion <= 0 else min(1.0, (squares + trace**2) / ((effective + 1) * dispersion))
    share = max(LEAST_SHRINKAGE_OF_SPECTRA, share)
    target = np.where(np.arange(d) < MEL_BANDS, 1.0, SPREAD_TARGET)
    result = (1 - share) * covariance
    result[np.diag_indices(d)] += share * max(trace / d, TINY) * target
    return np.asarray(result)


def contiguous_folds(n: int, folds: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield positions to fit on and to hold out: neighbouring clips are alike, so each fold is a run of them."""
    positions = np.arange(n)
    for held_out in np.array_split(positions, min(folds, n)):
        yield np.setdiff1d(positions, held_out), held_out


def choose_weight(points: ScoreArray, others: Others | None) -> float:
    """Choose how much the others' covariance counts: what predicts the machine's own held-out clips best.

    That is the mean Gaussian log-likelihood, but for a constant, of clips that the model has not seen; the mean of the
    clips that it was fitted to is uncertain by their number.

    Parameters
    ----------
    points : ScoreArray
        ``[n, d]``, the machine's normal clips.
    others : Others or None

    Returns
    -------
    float
        nu; 0 where there are no others.
    """
    if others is None:
        return 0.0
    candidates = sorted({w for w in WEIGHTS if w < others.dof} | {float(others.dof)})
    if len(points) >= ENOUGH_ALONE:
        candidates.insert(0, 0.0)
    if len(points) < 3:
        return candidates[-1]
    likelihoods = np.zeros(len(candidates))  # of all held-out clips
    for kept, held_out in contiguous_folds(len(points), CHOICE_FOLDS):
        known, inflation = points[kept], 1 + 1 / len(kept)
        deviations = standard_deviations(squares_of(known), len(kept) - 1, others.dof, others.variances)
        own, unseen = scatter(known / deviations), (points[held_out] - known.mean(axis=0)) / deviations
        for i, weight in enumerate(candidates):
            root = np.asarray(np.linalg.cholesky(mixed(own, len(kept) - 1, others, weight)), np.float64)
            log_determinant = 2 * float(np.log(np.diag(root)).sum() + np.log(deviations).sum())
            squared = float((lengths(unseen, root) ** 2).mean()) / inflation
            excess = points.shape[1] * float(np.log(inflation))
            likelihoods[i] += len(held_out) * (-0.5 * (squared + log_determinant + excess))
    return candidates[int(np.argmax(likelihoods))]


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
        from sklearn.mixture import GaussianMixture

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
