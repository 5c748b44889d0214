"""Second-order statistics: a clip as one vector, and Mahalanobis distance with a covariance that others support.

A covariance in 256 dimensions needs hundreds of clips, and a machine has a few dozen. Machines of a kind vary in
similar ways, so each adds its scatter about its own mean, in units of its own standard deviations, to a sum. A machine
mixes its own covariance with that of the sum by the weight that predicts its own held-out clips best. Without other
machines the distance is the local detector's, by the same functions.

==================  ==================================================================================
`clip_features`     frames ``[T, 128]`` -> ``[256]``: mean over time, spread of frame differences
`scatter`           points -> ``[d, d]`` about their own mean
`SecondOrderModel`  normal points, with or without `Others` -> scores
`pooled_sums`       the points of all machines -> what each adds; ``add(parts).without(part)`` -> `Others`
==================  ==================================================================================

References
----------
J. H. Friedman, "Regularized discriminant analysis", JASA 84, 1989. Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero,
"Shrinkage algorithms for MMSE covariance estimation", IEEE Transactions on Signal Processing 58, 2010.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from collab_asd.core.logmel import FFT, FLOOR, HOP, MEL_BANDS, SAMPLE_RATE
from collab_asd.core.types import FloatArray, ScoreArray

DIMENSION = 2 * MEL_BANDS
FEATURES = (
    f"second order 1: mean and standard deviation of differences of {MEL_BANDS} HTK mel bands in dB, "
    f"{SAMPLE_RATE} Hz, Hann {FFT}, hop {HOP}, floor {FLOOR}"
)
FEATURES_DIGEST = hashlib.sha256(FEATURES.encode()).hexdigest()
"""Clients whose features differ must not add their matrices."""

VARIANCE_PRIOR = 50.0  # clips that the pooled variances count as much as; 20 and 100 do as well
LEAST_SHRINKAGE = 0.01
SPREAD_TARGET = 10.0  # variance that shrinkage assumes for the second block, relative to the first
WEIGHTS = (10.0, 30.0, 100.0, 300.0, 1000.0)  # clips that the others' covariance may count as much as
ENOUGH_ALONE = 10  # clips from which a machine's own covariance may do without the others'
CHOICE_FOLDS = 5
LEAST_VARIANCE = 0.01**2  # dB^2: a band that never changes, as of silence, counts as if it varied by so little
TINY = 1e-12  # of a matrix of zeros: keeps it invertible


def clip_features(frames: FloatArray) -> ScoreArray:
    """Describe one clip by its mean spectrum and by how much each band flutters.

    Parameters
    ----------
    frames : FloatArray
        Log-mel powers ``[T, 128]`` in dB, as encoder ``logmel`` gives them; at least two.

    Returns
    -------
    ScoreArray
        ``[256]`` in dB: mean over time, and standard deviation of the differences of successive frames.
    """
    frames = np.asarray(frames, np.float64)
    spread = np.diff(frames, axis=0).std(axis=0) if len(frames) > 1 else np.zeros(frames.shape[1])
    return np.concatenate([frames.mean(axis=0), spread])


def scatter(points: ScoreArray) -> ScoreArray:
    """Scatter matrix ``[d, d]`` of points ``[n, d]`` about their own mean: n - 1 times the covariance."""
    centred = points - points.mean(axis=0)
    return np.asarray(centred.T @ centred)


@dataclass(frozen=True)
class Others:
    """What the other machines of a group have told, as averages.

    Parameters
    ----------
    dof : int
        Their degrees of freedom: the sum of clips less one over machines.
    variances : ScoreArray
        ``[d]``: the mean variance about each machine's own mean.
    covariance : ScoreArray
        ``[d, d]``: the mean covariance, each machine's in units of its own standard deviations.
    """

    dof: int
    variances: ScoreArray
    covariance: ScoreArray

    @property
    def of_levels(self) -> Others:
        """What they have told of the mean levels alone, the first half of the features."""
        return Others(self.dof, self.variances[:MEL_BANDS], self.covariance[:MEL_BANDS, :MEL_BANDS])


@dataclass(frozen=True)
class Sums:
    """What machines add up, over the machines of a group or for one alone.

    Parameters
    ----------
    dof : int
        Degrees of freedom: clips less one, summed over machines.
    squares : ScoreArray
        ``[d]``, dB^2: the diagonals of the scatter matrices.
    scatter : ScoreArray
        ``[d, d]``: the scatter matrices, each in units of its machine's own standard deviations.
    """

    dof: int
    squares: ScoreArray
    scatter: ScoreArray

    def without(self, own: Sums) -> Others | None:
        """Take a machine's own part out -> what the other machines say; None where there is no other."""
        left = self.dof - own.dof
        if left <= 0:
            return None
        return Others(left, (self.squares - own.squares) / left, (self.scatter - own.scatter) / left)


def pooled_sums(machines: Sequence[ScoreArray]) -> list[Sums]:
    """Compute what each machine adds, from the normal clips ``[n, d]`` of all of them: the two rounds on arrays."""
    dofs = [len(points) - 1 for points in machines]
    squares = [squares_of(points) for points in machines]
    total = np.sum(squares, axis=0)
    parts = []
    for points, dof, own in zip(machines, dofs, squares, strict=True):
        left = sum(dofs) - dof
        deviations = standard_deviations(own, dof, left, (total - own) / left if left else None)
        parts.append(Sums(dof, own, scatter(points / deviations)))
    return parts


def add(parts: Sequence[Sums]) -> Sums:
    """Add up what machines say."""
    return Sums(
        sum(part.dof for part in parts),
        np.asarray(np.sum([part.squares for part in parts], axis=0)),
        np.asarray(np.sum([part.scatter for part in parts], axis=0)),
    )


def standard_deviations(
    squares: ScoreArray, dof: int, others_dof: int = 0, others_variances: ScoreArray | None = None
) -> ScoreArray:
    """Return a machine's standard deviations ``[d]``, held up by the pooled variances where there are any.

    Parameters
    ----------
    squares : ScoreArray
        ``[d]``: the diagonal of its scatter matrix.
    dof : int
        Its clips less one.
    others_dof : int
    others_variances : ScoreArray, optional
        ``[d]``: the mean variance of the other machines.
    """
    if others_variances is None:
        return np.asarray(np.sqrt(np.maximum(squares / max(dof, 1), LEAST_VARIANCE)))
    pooled = (squares + others_dof * others_variances) / (dof + others_dof)
    return np.asarray(np.sqrt(np.maximum((squares + VARIANCE_PRIOR * pooled) / (dof + VARIANCE_PRIOR), LEAST_VARIANCE)))


def squares_of(points: ScoreArray) -> ScoreArray:
    """Return sums of squares ``[d]`` of points ``[n, d]`` about their own mean: the diagonal of `scatter`."""
    return np.asarray(((points - points.mean(axis=0)) ** 2).sum(axis=0))


def shrunk(covariance: ScoreArray, dof: float) -> ScoreArray:
    """Shrink a covariance ``[d, d]`` that so many degrees of freedom stand behind towards a fixed diagonal.

    The diagonal is 1 for mean levels and 10 for spreads, which fluctuate more than a few clips show, times the mean
    variance. The weight is that of oracle approximating shrinkage (Chen et al. 2010), at least 0.01.
    """
    d = len(covariance)
    trace, squares = float(np.trace(covariance)), float((covariance**2).sum())
    dispersion = squares - trace**2 / d
    weight = 1.0 if dispersion <= 0 else min(1.0, (squares + trace**2) / ((dof + 1) * dispersion))
    weight = max(LEAST_SHRINKAGE, weight)
    target = np.where(np.arange(d) < MEL_BANDS, 1.0, SPREAD_TARGET)
    result = (1 - weight) * covariance
    result[np.diag_indices(d)] += weight * max(trace / d, TINY) * target
    return np.asarray(result)


def mixed(own: ScoreArray, dof: int, others: Others | None, weight: float) -> ScoreArray:
    """Mix a machine's standardised scatter ``[d, d]`` with the others' covariance, and shrink -> ``[d, d]``.

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
        return shrunk(own / max(dof, 1), dof)
    effective = (dof + weight) ** 2 / (dof + weight**2 / others.dof)
    return shrunk((own + weight * others.covariance) / (dof + weight), effective)


@dataclass(frozen=True)
class SecondOrderModel:
    """Mahalanobis distance of clips to a machine's normal ones.

    Parameters
    ----------
    mean, deviations : ScoreArray
        ``[d]``.
    root : ScoreArray
        ``[d, d]``: lower Cholesky factor of the covariance, in units of `deviations`.
    weight : float
        Clips that the others' covariance counts as much as; 0 where the machine is on its own.
    """

    mean: ScoreArray
    deviations: ScoreArray
    root: ScoreArray
    weight: float

    @classmethod
    def fit(cls, points: ScoreArray, others: Others | None = None, weight: float | None = None) -> Self:
        """Fit to normal points ``[n, d]``; `weight` is chosen by `choose_weight` where it is not given."""
        if weight is None:
            weight = choose_weight(points, others)
        (model,) = cls.fit_each(points, others, [weight])
        return model

    @classmethod
    def fit_each(cls, points: ScoreArray, others: Others | None, weights: Iterable[float]) -> Iterator[Self]:
        """Fit with each of some weights; what does not depend on them is computed once."""
        given = (0, None) if others is None else (others.dof, others.variances)
        deviations = standard_deviations(squares_of(points), len(points) - 1, *given)
        mean, own = points.mean(axis=0), scatter(points / deviations)
        for weight in weights:
            root = np.asarray(np.linalg.cholesky(mixed(own, len(points) - 1, others, weight)), np.float64)
            yield cls(mean, deviations, root, weight)

    def scores(self, points: ScoreArray | FloatArray) -> ScoreArray:
        """Mahalanobis distance of each point ``[n, d]`` to the mean -> ``[n]``; higher is more anomalous."""
        return self.distances(points, self.mean)

    def distances(self, points: ScoreArray | FloatArray, to: ScoreArray | FloatArray) -> ScoreArray:
        """Mahalanobis distance of each point ``[n, d]`` to another ``[d]`` -> ``[n]``."""
        whitened = solve_triangular(self.root, ((points - to) / self.deviations).T, lower=True)
        return np.asarray(np.sqrt((whitened**2).sum(axis=0)))

    def log_likelihood(self, points: ScoreArray, clips: int) -> float:
        """Mean Gaussian log-likelihood of points that the model has not seen, but for a constant.

        `clips` is how many the model was fitted to: its mean is uncertain by that.
        """
        inflation, d = 1 + 1 / clips, len(self.mean)
        log_determinant = 2 * float(np.log(np.diag(self.root)).sum() + np.log(self.deviations).sum())
        squared = float((self.scores(points) ** 2).mean())
        return -0.5 * (squared / inflation + log_determinant + d * float(np.log(inflation)))


def contiguous_folds(n: int, folds: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield positions to fit on and to hold out: neighbouring clips are alike, so each fold is a run of them."""
    positions = np.arange(n)
    for held_out in np.array_split(positions, min(folds, n)):
        yield np.setdiff1d(positions, held_out), held_out


def choose_weight(points: ScoreArray, others: Others | None) -> float:
    """Choose how much the others' covariance counts: what predicts the machine's own held-out clips best.

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
        models = SecondOrderModel.fit_each(points[kept], others, candidates)
        likelihoods += [len(held_out) * model.log_likelihood(points[held_out], len(kept)) for model in models]
    return candidates[int(np.argmax(likelihoods))]


def suits(alone: ScoreArray, pooled: ScoreArray) -> bool:
    """Whether the others' covariance looks at a machine's normal clips as its own does.

    Where machines have normal clips of several kinds, or under wrong labels, the others' covariance explains away what
    tells these kinds, and faults with it. Clips that are unusual among their own are then unusual no longer, and the
    held-out scores come in another order. Those of few clips differ by chance, too.

    Parameters
    ----------
    alone, pooled : ScoreArray
        ``[n]``, held-out scores of the same normal clips without and with the others.
    """
    difference = np.log(np.maximum(alone, TINY)) - np.log(np.maximum(pooled, TINY))
    return bool(difference.std() <= SUITABLE_DIFFERENCE / np.sqrt(len(alone)))


SUITABLE_DIFFERENCE = 1.15
"""Chosen so that none of 192 machines among others of their type (synthetic, and ToyCar's tuning clips) is above."""
