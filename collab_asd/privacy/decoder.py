"""Linear decoders from shared rows to spectra, and the alignment of one embedding space to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, orthogonal_procrustes

from collab_asd.interfaces import FloatArray

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # of ridge regression, in mean variances of a feature
UNTUNED = 0.1  # with fewer clips than `FEWEST`
FEWEST = 4


@dataclass(frozen=True)
class Pairs:
    """Clips of which an adversary has both.

    Parameters
    ----------
    rows : sequence of FloatArray
        ``[n, d]`` by clip, as numbers.
    spectra : sequence of FloatArray
        ``[n, m]`` by clip: what each row was, or is to be decoded to.
    machines : sequence of str
        Whose sound each clip is.
    """

    rows: Sequence[FloatArray]
    spectra: Sequence[FloatArray]
    machines: Sequence[str]

    def halves(self) -> tuple[Pairs, Pairs]:
        """Divide so that the second part has other machines than the first, or other clips if there is one machine."""
        names = sorted(set(self.machines))
        first = set(names[: -(-len(names) // 2)])
        inside = [name in first if len(names) > 1 else i % 2 == 0 for i, name in enumerate(self.machines)]
        return self._pick(inside), self._pick([not one for one in inside])

    def _pick(self, wanted: Sequence[bool]) -> Pairs:
        rows, spectra = (list(compress(part, wanted)) for part in (self.rows, self.spectra))
        return Pairs(rows, spectra, list(compress(self.machines, wanted)))


def in_context(rows: FloatArray) -> FloatArray:
    """Rows ``[n, d]`` beside the one before and the one after -> ``[n, 3 d]``; at the ends a row stands twice."""
    return np.hstack([rows[np.maximum(np.arange(len(rows)) - 1, 0)], rows, rows[[*range(1, len(rows)), -1]]])


@dataclass(frozen=True)
class RidgeDecoder:
    """Ridge regression from rows in context to spectra (A. Hoerl and R. Kennard, Technometrics 12(1), 1970).

    Where each clip has one row, there is no context: the row stands alone.
    """

    alone: bool
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def fit(cls, pairs: Pairs) -> Self:
        """Fit to pairs; the penalty is the one that goes best from one half of the machines to the other."""
        strength = UNTUNED
        if len(pairs.rows) >= FEWEST:
            one, other = pairs.halves()
            errors = [
                [decoder._error(b) for decoder in cls._fits(a, STRENGTHS)] for a, b in ((one, other), (other, one))
            ]
            strength = STRENGTHS[int(np.argmin(np.sum(errors, axis=0)))]
        return cls._fits(pairs, (strength,))[0]

    @classmethod
    def _fits(cls, pairs: Pairs, strengths: Sequence[float]) -> list[Self]:
        """Fit once for each strength, from one decomposition."""
        alone = all(len(rows) == 1 for rows in pairs.rows)
        inputs = np.concatenate([rows if alone else in_context(rows) for rows in pairs.rows]).astype(np.float64)
        outputs = np.concatenate(pairs.spectra).astype(np.float64)
        mean, deviation, offset = inputs.mean(axis=0), inputs.std(axis=0), outputs.mean(axis=0)
        scale = 1.0 / np.where(deviation > 1e-6, deviation, np.inf)  # what is constant says nothing
        inputs = (inputs - mean) * scale
        lengths, axes = eigh(inputs.T @ inputs)
        projected = axes.T @ (inputs.T @ (outputs - offset))
        penalties = [strength * len(inputs) for strength in strengths]
        weights = [axes @ (projected / (np.maximum(lengths, 0) + p)[:, np.newaxis]) for p in penalties]
        return [cls(alone, mean, scale, w, offset) for w in weights]

    def decode(self, rows: FloatArray) -> FloatArray:
        """Estimate the spectra ``[n, m]`` of one clip from its rows ``[n, d]``."""
        inputs = ((rows if self.alone else in_context(rows)) - self.mean) * self.scale
        return np.asarray(inputs @ self.weights + self.offset, np.float32)

    def _error(self, pairs: Pairs) -> float:
        if self.alone:  # all at once: there may be thousands
            return float(np.square(self.decode(np.concatenate(pairs.rows)) - np.concatenate(pairs.spectra)).mean())
        differences = (self.decode(r) - s for r, s in zip(pairs.rows, pairs.spectra, strict=True))
        return float(np.mean([np.square(difference).mean() for difference in differences]))


@dataclass(frozen=True)
class Alignment:
    """The rotation, reflection and common scale that bring rows of one space closest to those of another.

    Both are centred by their own means (orthogonal Procrustes; P. Schönemann, Psychometrika 31(1), 1966). The fewer
    pairs, the fewer of the directions are determined.
    """

    source: NDArray[np.float64]
    rotation: NDArray[np.float64]
    target: NDArray[np.float64]

    @classmethod
    def fit(cls, source: FloatArray, target: FloatArray) -> Self:
        """Fit to paired rows ``[n, d]`` and ``[n, e]``; the narrower space is widened by zeros."""
        width = max(source.shape[1], target.shape[1])
        a, b = (np.pad(rows.astype(np.float64), ((0, 0), (0, width - rows.shape[1]))) for rows in (source, target))
        means = a.mean(axis=0), b.mean(axis=0)
        rotation, trace = orthogonal_procrustes(a - means[0], b - means[1])
        size = float(np.square(a - means[0]).sum())
        scaled = rotation * (trace / size if size > 0 else 0.0)
        return cls(means[0], scaled[:, : target.shape[1]], means[1][: target.shape[1]])

    def apply(self, rows: FloatArray) -> FloatArray:
        """Bring rows ``[n, d]`` into the other space ``[n, e]``."""
        widened = np.pad(rows, ((0, 0), (0, len(self.source) - rows.shape[1])))
        return np.asarray((widened - self.source) @ self.rotation + self.target, np.float32)
