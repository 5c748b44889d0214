"""Mahalanobis distance between summaries of spectra, of clips or of their segments, from a dozen clips or more.

References
----------
J. H. Friedman, "Regularized discriminant analysis", JASA 84, 1989. Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero,
"Shrinkage algorithms for MMSE covariance estimation", IEEE Transactions on Signal Processing 58, 2010.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from collab_asd.core.torch_audio import MEL_BANDS
from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers.clip_scorer import by_folds
from collab_asd.detection.second_order import Others, scatter, squares_of, standard_deviations

LEAST_SHRINKAGE = 0.01
SPREAD_TARGET = 10.0  # variance that shrinkage assumes for the second block, relative to the first
WEIGHTS = (10.0, 30.0, 100.0, 300.0, 1000.0)  # clips that the others' covariance may count as much as
ENOUGH_ALONE = 10  # clips from which a machine's own covariance may do without the others'
CHOICE_FOLDS = 5
TINY = 1e-12  # of a matrix of zeros: keeps it invertible


@dataclass
class SpectrumScorer:
    """Mahalanobis distance of the points of `collab_asd.detection.spectrum.ClipSpectrum` to a machine's normal ones.

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
        points = points.astype(np.float64)
        weight = choose_weight(points, self.others) if self.weight is None else self.weight
        given = (0, None) if self.others is None else (self.others.dof, self.others.variances)
        self._mean = points.mean(axis=0)
        self._deviations = standard_deviations(squares_of(points), len(points) - 1, *given)
        covariance = mixed(scatter(points / self._deviations), len(points) - 1, self.others, weight)
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
    share = max(LEAST_SHRINKAGE, share)
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
