"""What a client sends of its embeddings: pages of whole clips, as named arrays.

A page holds ``frames [sum of T, D]``, and per clip ``lengths`` (its T), ``clips`` (its opaque number at the client),
``groups`` and ``classes``. No name, path or label is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collab_asd.interfaces import FloatArray


@dataclass(frozen=True)
class SharedClip:
    """One clip as the server knows it.

    Parameters
    ----------
    clip : int
        Number of the clip at its client.
    group, machine_class : int
    frames : FloatArray
        ``[T, D]``, finite.
    """

    clip: int
    group: int
    machine_class: int
    frames: FloatArray


def plan_pages(sizes: Sequence[int], page_bytes: int) -> list[int]:
    """Cut clips, given by their sizes in bytes, into pages of at most `page_bytes`; a larger clip is a page of its own.

    Returns
    -------
    list of int
        Where each page ends, counted in clips.

    Examples
    --------
    >>> plan_pages([4, 4, 4, 9, 1], 8)
    [2, 3, 4, 5]
    """
    ends, filled = [], 0
    for i, size in enumerate(sizes):
        if i > 0 and filled + size > page_bytes:
            ends.append(i)
            filled = 0
        filled += size
    return [*ends, len(sizes)] if sizes else []


def encode_page(clips: Sequence[SharedClip]) -> dict[str, NDArray[Any]]:
    """Lay out one page of clips as arrays."""
    return {
        "frames": np.concatenate([c.frames for c in clips]),
        "lengths": np.array([len(c.frames) for c in clips], np.int32),
        "clips": np.array([c.clip for c in clips], np.int32),
        "groups": np.array([c.group for c in clips], np.int32),
        "classes": np.array([c.machine_class for c in clips], np.int32),
    }


def decode_page(arrays: Mapping[str, NDArray[Any]]) -> Iterator[SharedClip]:
    """Read a page; the frames of each clip are a view of the page.

    Raises
    ------
    ValueError
        The page holds a number that is not finite, or its parts do not fit together.
    """
    frames, lengths = arrays["frames"], arrays["lengths"]
    if int(lengths.sum()) != len(frames) or frames.ndim != 2 or frames.dtype != np.float32:
        raise ValueError(f"a page of frames {frames.shape} {frames.dtype} does not fit its {len(lengths)} clips")
    if not np.isfinite(frames).all():
        raise ValueError("a page of embeddings holds numbers that are not finite")
    ends = np.cumsum(lengths)
    ids = zip(arrays["clips"], arrays["groups"], arrays["classes"], lengths, ends, strict=True)
    for clip, group, machine_class, length, end in ids:
        yield SharedClip(int(clip), int(group), int(machine_class), frames[end - length : end])
