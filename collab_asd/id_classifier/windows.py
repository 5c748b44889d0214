"""Stacking frames into the classifier's input windows without copying them."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from collab_asd.interfaces import FloatArray


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
