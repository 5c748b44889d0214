"""Drawing training windows from clips that stay where they are.

The clips of a large consortium are gigabytes, perhaps mapped from disk. Only the windows of one batch are ever copied.

Frames are stacked into windows without a copy, and of thousands of clips only those in use take memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import overload

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from collab_asd.core.errors import InputError
from collab_asd.core.types import FloatArray, ScoreArray

Indices = NDArray[np.int64]


def window_count(frames: int, stack: int, hop: int) -> int:
    """Windows of a clip of `frames` frames; a clip shorter than one window still gives one.

    Examples
    --------
    >>> window_count(20, stack=8, hop=1)
    13
    """
    return 1 + max(0, frames - stack) // hop


def stacked_windows(frames: FloatArray, stack: int, hop: int) -> FloatArray:
    """View the frames of one clip as overlapping windows.

    Parameters
    ----------
    frames : FloatArray
        ``[T, D]``, not empty.
    stack : int
        Frames in one window.
    hop : int
        Frames between the starts of two windows.

    Returns
    -------
    FloatArray
        ``[w, stack, D]``, a read-only view of `frames`. Only a clip with fewer than `stack` frames is copied: it is
        repeated from its start until it fills one window.
    """
    if len(frames) < stack:
        frames = frames[np.arange(stack) % len(frames)]
    return sliding_window_view(frames, stack, axis=0)[::hop].swapaxes(1, 2)


class LazyClips(Sequence[FloatArray]):
    """Clips ``[T, D]`` that are fetched when they are asked for.

    Parameters
    ----------
    lengths : sequence of int
        Frames T of each clip.
    fetch : sequence of callable
        Each returns the frames ``[T, D]`` of one clip.
    """

    def __init__(self, lengths: Sequence[int], fetch: Sequence[Callable[[], FloatArray]]) -> None:
        self.lengths, self.fetch = lengths, fetch

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> FloatArray: ...
    @overload
    def __getitem__(self, index: slice) -> LazyClips: ...
    def __getitem__(self, index: int | slice) -> FloatArray | LazyClips:
        if isinstance(index, slice):
            return LazyClips(self.lengths[index], self.fetch[index])
        return self.fetch[index]()


def lengths_of(clips: Sequence[FloatArray]) -> Sequence[int]:
    """Frames of each clip; none is fetched for it."""
    return clips.lengths if isinstance(clips, LazyClips) else [len(clip) for clip in clips]


def joined(parts: Sequence[Sequence[FloatArray]]) -> LazyClips:
    """Put the clips of several sequences behind one another; none is fetched for it."""
    lengths: list[int] = []
    fetch: list[Callable[[], FloatArray]] = []
    for part in parts:
        lengths += lengths_of(part)
        fetch += part.fetch if isinstance(part, LazyClips) else [partial(part.__getitem__, i) for i in range(len(part))]
    return LazyClips(lengths, fetch)


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
        found = []
        for window in windows:
            clip: FloatArray = self._clips[self._clip[window]]
            start = int(self._position[window]) * self._hop
            if len(clip) < self._stack:
                clip = stacked_windows(clip, self._stack, self._hop)[0]
            found.append(clip[start : start + self._stack])  # to view all windows of a clip takes longer
        return np.stack(found)

    def places(self, windows: Indices) -> tuple[Indices, Indices]:
        """Return which clip each window is from, and its position there, counted from 0."""
        return self._clip[windows], self._position[windows]


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
