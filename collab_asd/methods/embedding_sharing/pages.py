"""What a client sends of its embeddings: pages of whole clips, as named arrays.

A page holds ``rows``, what the codec made of the frames of all its clips, and per clip ``lengths`` (its frames T),
``clips`` (its opaque number at the client), ``groups`` and ``classes``; and under ``page`` which page it is. No name,
path or label is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from collab_asd.config import RunConfig
from collab_asd.core.types import PARTS, RAW_ENCODERS, FloatArray, Part
from collab_asd.wire.codecs import Codec, CodecPlan, parse
from collab_asd.wire.codecs.stages import Stage

PER_CLIP = ("lengths", "clips", "groups", "classes")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class PageNumber:
    """Which page of a client: clips `start` to `stop` of one part, in the order of the client's clip numbers."""

    part: Part
    start: int
    stop: int

    def to_array(self) -> NDArray[np.int32]:
        """Lay out for a message."""
        return np.array([PARTS.index(self.part), self.start, self.stop], np.int32)

    @classmethod
    def from_array(cls, array: NDArray[np.int32]) -> Self:
        """Return the inverse of `to_array`."""
        part, start, stop = array.tolist()
        return cls(PARTS[part], start, stop)


@dataclass(frozen=True)
class SharedClip:
    """One clip as a client shares it.

    Parameters
    ----------
    clip : int
        Number of the clip at its client.
    group, machine_class : int
    frames : FloatArray
        ``[T, D]``.
    own : tuple of Stage
        What the client does to them beside the codec.
    """

    clip: int
    group: int
    machine_class: int
    frames: FloatArray
    own: tuple[Stage, ...] = ()


def plan_pages(sizes: Sequence[int], page_bytes: int) -> list[int]:
    """Cut clips, given by their sizes in bytes, into pages of at most `page_bytes`.

    Returns
    -------
    list of int
        Where each page ends, counted in clips.

    Raises
    ------
    ValueError
        One clip alone is larger than a page.

    Examples
    --------
    >>> plan_pages([4, 4, 4, 8, 1], 8)
    [2, 3, 4, 5]
    """
    if sizes and max(sizes) > page_bytes:
        raise ValueError(f"the embedding of one clip is {max(sizes):,} bytes, and a page holds {page_bytes:,}")
    ends, filled = [], 0
    for i, size in enumerate(sizes):
        if i > 0 and filled + size > page_bytes:
            ends.append(i)
            filled = 0
        filled += size
    return [*ends, len(sizes)] if sizes else []


def encode_page(number: PageNumber, clips: Sequence[SharedClip], codec: Codec) -> dict[str, NDArray[Any]]:
    """Lay out one page of clips as arrays."""
    return {
        "page": number.to_array(),
        "rows": np.concatenate([codec.with_own(c.own).encode(c.frames) for c in clips]),
        "lengths": np.array([len(c.frames) for c in clips], np.int32),
        "clips": np.array([c.clip for c in clips], np.int32),
        "groups": np.array([c.group for c in clips], np.int32),
        "classes": np.array([c.machine_class for c in clips], np.int32),
    }


def codec_of(config: RunConfig) -> CodecPlan:
    """Return the configured codec; samples travel as they are, whatever is configured."""
    return parse("fp32" if config.encoder in RAW_ENCODERS else config.codec)
