"""What clients tell of their frames, once, so that all of them can use one basis: sums and principal directions.

References
----------
Y. Qu, G. Ostrouchov, N. Samatova, A. Geist, "Principal component analysis for dimension reduction in massive
distributed data sets", ICDM 2002: each site sends its leading directions, scaled, and the centre decomposes their
union.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from collab_asd.core.types import FloatArray
from collab_asd.wire.fields import MOST_CLIPS, MOST_FRAMES, SPREAD, Numbers, require

MOST_ROWS = 4  # times the dimension, in memory at once
ROUNDING, COARSE, SMALLEST, ASKEW = 1.01, 1e-3, 1e-6, 0.05  # of numbers in half precision
FLATTEST = 0.01  # a dimension that varies less, against the liveliest, counts as if it varied so much


@dataclass(frozen=True)
class FrameStatistics:
    """Moments of frames ``[n, D]``.

    Parameters
    ----------
    count : int
        n.
    mean, deviation : FloatArray
        ``[D]``.
    directions : FloatArray
        ``[r, D]``: leading principal directions of the frames, each as long as its standard deviation. None (r = 0)
        where no stage asks for them.
    """

    count: int
    mean: FloatArray
    deviation: FloatArray
    directions: FloatArray

    @classmethod
    def of(cls, clips: Iterable[FloatArray], directions: int) -> Self:
        """Go through clips ``[T, D]`` one by one; of `directions` as many as there are dimensions at most."""
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        for clip in clips:
            frames = clip.astype(np.float64)
            count += len(frames)
            total = total + frames.sum(axis=0)
            squares = squares + (frames.T @ frames if directions else np.square(frames).sum(axis=0))
        if not count:
            raise ValueError("there are no frames to take statistics of")
        return cls(count, *_moments(count, total, squares, directions))

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """Return the statistics of all frames together; the directions of `parts` bound how many there are."""
        count = sum(part.count for part in parts)
        weights = np.array([part.count for part in parts]) / count
        means = np.stack([part.mean.astype(np.float64) for part in parts])
        mean = weights @ means
        variance = weights @ np.stack([np.square(p.deviation, dtype=np.float64) for p in parts])
        between = weights @ np.square(means - mean)
        rows = (np.sqrt(w) * np.vstack([p.directions, m - mean]) for w, p, m in zip(weights, parts, means, strict=True))
        wanted = max(len(part.directions) for part in parts)
        _, lengths, axes = np.linalg.svd(_condensed(rows), full_matrices=False)
        directions = _signed(lengths[:wanted, np.newaxis] * axes[:wanted])
        return cls(count, *_single(mean, np.sqrt(variance + between), directions))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], dimension: int, directions: int) -> Self:
        """Return the inverse of `to_arrays`.

        Parameters
        ----------
        arrays : mapping
        dimension : int
            D that they must be of.
        directions : int
            How many were asked for.

        Raises
        ------
        ValueError
            No frames can have such statistics: directions that are not orthogonal, that are longer than the deviations
            which they are part of, or more than so many frames have.
        """
        wanted = min(directions, dimension)
        require(
            {
                "count": Numbers("int64", (), 1, MOST_CLIPS * MOST_FRAMES),
                "mean": Numbers("float32", (dimension,), -SPREAD, SPREAD),
                "deviation": Numbers("float32", (dimension,), 0, SPREAD),
                "directions": Numbers("float16", (wanted, dimension)),
            },
            arrays,
        )
        count, deviation = int(arrays["count"]), arrays["deviation"].astype(np.float64)
        _require_possible(count, deviation, arrays["directions"].astype(np.float64))
        return cls(count, arrays["mean"], arrays["deviation"], arrays["directions"].astype(np.float32))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Lay out as arrays for a message; directions in half precision, since they are only a basis."""
        return {
            "count": np.array(self.count, np.int64),
            "mean": self.mean,
            "deviation": self.deviation,
            "directions": self.directions.astype(np.float16),
        }


def floored(deviation: FloatArray) -> FloatArray:
    """Deviations ``[D]`` to divide by: none is less than a hundredth of the largest."""
    return np.maximum(deviation, FLATTEST * float(deviation.max()) or 1.0)


def _require_possible(count: int, deviation: NDArray[np.float64], directions: NDArray[np.float64]) -> None:
    """Refuse directions that are none of frames with such deviations; half precision is allowed for."""
    widest = float(deviation.max())
    lengths = np.sqrt(np.square(directions).sum(axis=1))
    told = np.sqrt(np.square(directions).sum(axis=0))
    if (told > ROUNDING * deviation + COARSE * widest + SMALLEST).any():
        raise ValueError("its directions vary more than its deviations say")
    if (lengths[1:] > ROUNDING * lengths[:-1] + SMALLEST).any():
        raise ValueError("its directions are not in the order of their lengths")
    clear = lengths > max(COARSE * widest, COARSE)
    if clear.sum() >= max(count, 2):
        raise ValueError("it tells more directions than its frames can have")
    units = directions[clear] / lengths[clear, np.newaxis]
    if np.abs(units @ units.T - np.eye(len(units))).max(initial=0.0) > ASKEW:
        raise ValueError("its directions are not orthogonal")


def _moments(
    count: int, total: NDArray[np.float64], squares: NDArray[np.float64], directions: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    mean = total / count
    if not directions:
        return _single(mean, np.sqrt(np.maximum(squares / count - mean**2, 0)), np.zeros((0, len(mean))))
    covariance = squares / count - np.outer(mean, mean)
    size = len(mean)
    values, vectors = eigh(covariance, subset_by_index=(max(0, size - directions), size - 1))
    leading = np.sqrt(np.maximum(values, 0))[:, np.newaxis] * vectors.T
    return _single(mean, np.sqrt(np.maximum(np.diag(covariance), 0)), _signed(leading[::-1]))


def _condensed(blocks: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return a few rows ``[n, D]`` with the singular values and right singular vectors of all rows together.

    However many rows there are, a few times D of them are in memory at once: an orthogonal rotation, which leaves both
    as they are, brings what has come so far to D rows.
    """
    kept: list[NDArray[np.float64]] = []
    for block in blocks:
        kept.append(block)
        if sum(map(len, kept)) > MOST_ROWS * block.shape[1]:
            kept = [np.asarray(np.linalg.qr(np.concatenate(kept), mode="r"))]
    return np.concatenate(kept)


def _single(*arrays: NDArray[np.float64]) -> tuple[FloatArray, FloatArray, FloatArray]:
    a, b, c = (array.astype(np.float32) for array in arrays)
    return a, b, c


def _signed(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn each direction so that its largest number is positive: libraries choose signs as they like."""
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, np.newaxis], axis=1)
    return directions * np.where(largest < 0, -1.0, 1.0)
