"""Clips that lie elsewhere, as a sequence like any other: of thousands, only those in use take memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import overload

from collab_asd.interfaces import FloatArray


class LazyClips(Sequence[FloatArray]):
    """Clips ``[T, D]`` that are fetched when they are asked for.

    Parameters
    ----------
    lengths : sequence of int
        Frames T of each clip.
    fetch : callable
        Number of a clip -> its frames ``[T, D]``.
    """

    def __init__(self, lengths: Sequence[int], fetch: Callable[[int], FloatArray]) -> None:
        self.lengths, self._fetch = lengths, fetch

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> FloatArray: ...
    @overload
    def __getitem__(self, index: slice) -> LazyClips: ...
    def __getitem__(self, index: int | slice) -> FloatArray | LazyClips:
        if isinstance(index, slice):
            numbers = range(len(self))[index]
            return LazyClips(self.lengths[index], lambda i: self._fetch(numbers[i]))
        return self._fetch(range(len(self))[index])


def lengths_of(clips: Sequence[FloatArray]) -> Sequence[int]:
    """Frames of each clip; none is fetched for it."""
    return clips.lengths if isinstance(clips, LazyClips) else [len(clip) for clip in clips]


def joined(parts: Sequence[Sequence[FloatArray]]) -> LazyClips:
    """Put the clips of several sequences behind one another; none is fetched for it."""
    ends = list(accumulate(map(len, parts)))

    def fetch(number: int) -> FloatArray:
        part = bisect_right(ends, number)
        return parts[part][number - ends[part]]

    return LazyClips([length for part in parts for length in lengths_of(part)], fetch)
