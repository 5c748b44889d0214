"""A recording summarized by its log-mel spectrum, and second-order statistics of such summaries over machines.

A client's own score looks at the summary, whatever encoder is shared. That score never leaves the client, so there is
nothing to gain from looking through an encoder that hides something. The whole recording is summarized, and each
segment of half a second, in which a short event is not averaged away.

A covariance in 256 dimensions needs hundreds of clips, and a machine has a few dozen. Machines of a kind vary in
similar ways, so each adds its scatter about its own mean, in units of its own standard deviations, to a sum. A machine
mixes its own covariance with that of the sum by the weight that predicts its own held-out clips best. Without other
machines the distance is the local detector's, by the same functions (`SpectrumScorer`, in `scorers/gaussian.py`).

==================  ==================================================================================
`clip_features`     frames ``[T, 128]`` -> ``[256]``: mean over time, spread of frame differences
`ClipSpectrum`      waveform -> ``[2 + segments, 128]``: these features, and levels of each half second
`scatter`           points -> ``[d, d]`` about their own mean
`pooled_sums`       the points of all machines -> what each adds; ``add(parts).without(part)`` -> `Others`
==================  ==================================================================================

References
----------
J. H. Friedman, "Regularized discriminant analysis", JASA 84, 1989.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from collab_asd.core.torch_audio import FFT, FLOOR, HOP, MEL_BANDS, SAMPLE_RATE, log_mel
from collab_asd.core.types import EncoderSpec, FloatArray, ScoreArray

DIMENSION = 2 * MEL_BANDS
FEATURES = (
    f"second order 1: mean and standard deviation of differences of {MEL_BANDS} HTK mel bands in dB, "
    f"{SAMPLE_RATE} Hz, Hann {FFT}, hop {HOP}, floor {FLOOR}"
)
FEATURES_DIGEST = hashlib.sha256(FEATURES.encode()).hexdigest()
"""Clients whose features differ must not add their matrices."""

VARIANCE_PRIOR = 50.0  # clips that the pooled variances count as much as; 20 and 100 do as well
LEAST_VARIANCE = 0.01**2  # dB^2: a band that never changes, as of silence, counts as if it varied by so little
TINY = 1e-12  # of scores: keeps their logarithm finite


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


SEGMENT = SAMPLE_RATE // 2 // HOP + 1  # log-mel frames: half a second; segments overlap by half
_DIGEST = hashlib.sha256(f"{FEATURES}; of the clip, and levels of segments of {SEGMENT} frames".encode()).hexdigest()
SPEC = EncoderSpec("clip-spectrum", SAMPLE_RATE, FFT, HOP, MEL_BANDS, stack=1, stack_hop=1, digest=_DIGEST)


class ClipSpectrum:
    """What a recording sounds like, as frames of an encoder: the cache of embeddings keeps them.

    The first two rows are the `clip_features` of the whole recording, mean levels and spreads; the others are the mean
    levels of its segments of half a second, in their order.
    """

    spec = SPEC

    @staticmethod
    def frames(samples: int) -> int:
        """Count the rows of a waveform of so many samples: 0 where it is shorter than one window."""
        spectra = 1 + (samples - FFT) // HOP
        return 2 + len(_starts(spectra)) if samples >= FFT else 0

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Summarize a waveform ``[samples]`` at 16 kHz -> ``[2 + segments, 128]`` in dB."""
        centred = waveform - np.float32(waveform.mean(dtype=np.float64))  # no machine causes a recorder's offset
        return summarize(log_mel(torch.tensor(centred)).numpy())


def summarize(frames: FloatArray) -> FloatArray:
    """Summarize log-mel frames ``[T, 128]``: `clip_features`, then levels of segments -> ``[2 + segments, 128]``."""
    levels, spreads = np.split(clip_features(frames), 2)
    frames = np.asarray(frames, np.float64)
    segments = [frames[start : start + SEGMENT].mean(axis=0) for start in _starts(len(frames))]
    return np.array([levels, spreads, *segments], np.float32)


def _starts(frames: int) -> list[int]:
    """Where segments begin, so that none of the frames is left out; a shorter recording is its only segment."""
    last = max(frames - SEGMENT, 0)
    return [*range(0, last, SEGMENT // 2), last]


def whole_clips(summaries: Sequence[FloatArray]) -> FloatArray:
    """Take the features of whole recordings ``[n, 256]`` out of their summaries."""
    return np.array([summary[:2].ravel() for summary in summaries], np.float32)


def scatter(points: ScoreArray, overwrite: bool = False) -> ScoreArray:
    """Scatter matrix ``[d, d]`` of points ``[n, d]`` about their own mean: n - 1 times the covariance.

    With `overwrite` the points are centred in place: the half seconds of a machine's recordings are many.
    """
    centred = np.subtract(points, points.mean(axis=0), out=points if overwrite else None)
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
    centred = points - points.mean(axis=0)
    centred *= centred
    return np.asarray(centred.sum(axis=0))


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


@cache
def _triangle(dimension: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the upper triangle of a matrix lies; it takes longer to say than to copy."""
    return np.triu_indices(dimension)


TRIANGLE = _triangle(DIMENSION)


def others_to_arrays(others: Others) -> dict[str, NDArray[Any]]:
    """Lay out what the server sends to one machine, or what its detector keeps."""
    covariance = others.covariance[_triangle(len(others.variances))].astype(np.float32)
    return {"dof": np.array([others.dof]), "variances": others.variances.astype(np.float32), "covariance": covariance}


def others_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Others:
    """Read what `others_to_arrays` wrote."""
    variances = np.asarray(arrays["variances"], np.float64)
    covariance = symmetric(np.asarray(arrays["covariance"], np.float64), len(variances))
    return Others(int(arrays["dof"][0]), variances, covariance)


def symmetric(triangle: ScoreArray, dimension: int = DIMENSION) -> ScoreArray:
    """Put the triangle ``[d (d + 1) / 2]`` of a symmetric matrix together -> ``[d, d]``."""
    matrix = np.zeros((dimension, dimension))
    matrix[_triangle(dimension)] = triangle
    return np.asarray(matrix + matrix.T - np.diag(matrix.diagonal()))
