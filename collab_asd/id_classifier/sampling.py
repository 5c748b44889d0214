"""Drawing training windows from clips that stay where they are.

The clips of a large consortium are gigabytes, perhaps mapped from disk. Only the windows of one batch are ever copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collab_asd.errors import InputError
from collab_asd.id_classifier.windows import stacked_windows, window_count
from collab_asd.interfaces import FloatArray, ScoreArray
from collab_asd.lazy_clips import lengths_of

Indices = NDArray[np.int64]


class WindowSampler:
    """All windows of all clips, by number.

    Parameters
    ----------
    clips : sequence of FloatArray
        Frames ``[T_i, D]``.
    classes : sequence of int
        Of each clip.
    stack, hop : int
        Frames in one window, and between the starts of two.
    """

    def __init__(self, clips: Sequence[FloatArray], classes: Sequence[int], stack: int, hop: int) -> None:
        self._clips, self._stack, self._hop = clips, stack, hop
        counts = np.array([window_count(length, stack, hop) for length in lengths_of(clips)])
        self._clip = np.repeat(np.arange(len(clips)), counts)
        self._position = np.concatenate([np.arange(count) for count in counts])
        self.classes: Indices = np.repeat(np.asarray(classes, dtype=np.int64), counts)
        """Class of each window."""

    def epoch_size(self, per_class: int | None) -> int:
        """Windows of one epoch, as `epoch` returns them."""
        present = len(np.unique(self.classes))
        return present * (per_class or len(self.classes) // present)

    def epoch(self, random: np.random.Generator, per_class: int | None) -> Indices:
        """Draw the same number of windows of every class, in random order.

        Clients may hold very different numbers of clips; were windows drawn evenly, the class of the largest would be
        the safe guess. A class with fewer windows than are asked for repeats them.

        Parameters
        ----------
        random : numpy.random.Generator
        per_class : int or None
            Windows of each class; None takes the mean number of windows of a class, so that every window is used
            once where classes are equally large.
        """
        present, counts = np.unique(self.classes, return_counts=True)
        size = self.epoch_size(per_class) // len(present)
        by_class = np.split(np.argsort(self.classes, kind="stable"), np.cumsum(counts)[:-1])
        drawn = [np.resize(random.permutation(windows), size) for windows in by_class]
        return random.permutation(np.concatenate(drawn))

    def gather(self, windows: Indices) -> FloatArray:
        """Copy the windows of one batch -> ``[B, stack, D]``."""
        return np.stack([self._window(self._clip[i], self._position[i]) for i in windows])

    def places(self, windows: Indices) -> tuple[Indices, Indices]:
        """Return which clip each window is from, and its position there, counted from 0."""
        return self._clip[windows], self._position[windows]

    def _window(self, clip: int, position: int) -> FloatArray:
        return np.asarray(stacked_windows(self._clips[clip], self._stack, self._hop)[position])


def input_statistics(clips: Sequence[FloatArray], classes: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of every dimension over all frames -> ``[D]``, ``[D]``.

    Dimensions that hardly vary are treated as if they varied by a hundredth of what the liveliest one does: whatever
    happens there later would otherwise outweigh all else.

    Raises
    ------
    InputError
        A clip has values that are NaN or infinite.
    """
    total = np.zeros(clips[0].shape[1])
    squares, count = np.zeros_like(total), 0
    for i, clip in enumerate(clips):
        part = clip.sum(axis=0, dtype=np.float64)
        if not np.isfinite(part).all():
            raise InputError(f"clip {i} (class {classes[i]}) has embeddings that are NaN or infinite: check its audio")
        total += part
        squares += np.square(clip, dtype=np.float64).sum(axis=0)
        count += len(clip)
    return statistics_from_sums(count, total, squares)


def statistics_from_sums(count: float, total: ScoreArray, squares: ScoreArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation as of `input_statistics`, from the number of frames, their sums and squares' sums."""
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    floor = 0.01 * float(deviation.max()) or 1.0
    return mean.astype(np.float32), np.maximum(deviation, floor).astype(np.float32)


def one_gain(mean: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean and standard deviation ``[D]`` of all numbers together, in place of each dimension's own."""
    common = mean.mean(dtype=np.float64)
    spread = np.sqrt(np.mean(np.square(deviation, dtype=np.float64) + np.square(mean - common)))
    return np.full_like(mean, common), np.full_like(deviation, spread)
