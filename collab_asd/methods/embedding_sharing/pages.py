"""What a client sends: first a description of what it has to share, then pages of whole clips, as named arrays.

A page holds ``rows``, what the codec made of the frames of all its clips, and per clip ``lengths`` (its frames T),
``clips`` (its opaque number at the client), ``groups`` and ``classes``; and under ``page`` which page it is. No name,
path or label is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray

from collab_asd.config import RunConfig
from collab_asd.core.types import PARTS, RAW_ENCODERS, FloatArray, Part
from collab_asd.wire.codecs import Codec, CodecPlan, parse
from collab_asd.wire.codecs.stages import Stage

PER_CLIP = ("lengths", "clips", "groups", "classes")
KINDS = {"page": np.int32, **dict.fromkeys(PER_CLIP, np.int32)}
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
class ClientDescription:
    """What one client said of itself.

    Parameters
    ----------
    train_pages, calibration_pages, test_pages : list of int
        Where its pages end, counted in clips.
    groups, classes : list of int
        Its machines.
    dimension : int
        D, size of one frame.
    stack, stack_hop : int
        Frames in one window of f_s, and between the starts of two.
    digest : str
        Of its encoder.
    note : str
        What a reader of the results must know of it.
    clips_digest : str
        Of the clips that it shares: another one means other clips.
    """

    train_pages: list[int]
    calibration_pages: list[int]
    test_pages: list[int]
    groups: list[int]
    classes: list[int]
    dimension: int
    stack: int
    stack_hop: int
    digest: str
    note: str
    clips_digest: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> ClientDescription:
        """Read the client's answer.

        Raises
        ------
        ValueError
            Something is missing, or cannot be.
        """
        said = {key.replace("-", "_"): value for key, value in record.items()}
        if said.keys() != _TYPES.keys() or any(not _is_of(value, _TYPES[name]) for name, value in said.items()):
            raise ValueError("its description is another version's")
        description = cls(**said)
        if len(description.groups) != len(description.classes):
            raise ValueError("its description gives some machines a group without a class, or a class without a group")
        if min(description.dimension, description.stack, description.stack_hop) < 1 or not description.train_pages:
            raise ValueError("its description says that there is nothing to share")
        return description

    @property
    def places(self) -> list[tuple[int, int]]:
        """Its machines, as group and class."""
        return list(zip(self.groups, self.classes, strict=True))

    def pages(self, part: Part) -> list[PageNumber]:
        """Return its pages of one part."""
        ends: list[int] = getattr(self, f"{part}_pages")
        return [PageNumber(part, start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


_TYPES = get_type_hints(ClientDescription)


def _is_of(value: object, kind: type) -> bool:
    return isinstance(value, kind) if kind in (int, str) else type(value) is list and all(type(v) is int for v in value)


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


def require_valid_page(number: PageNumber, arrays: Arrays, description: ClientDescription, plan: CodecPlan) -> None:
    """Refuse a page that is not the one that was asked for, or cannot have come out of the codec.

    Raises
    ------
    ValueError
        Says what is wrong, without any of the page's content.
    """
    if arrays.keys() != {"rows", *KINDS}:
        raise ValueError(f"a page holds {sorted(arrays)} in place of {sorted({'rows', *KINDS})}")
    if wrong := [name for name, kind in KINDS.items() if arrays[name].dtype != kind or arrays[name].ndim != 1]:
        raise ValueError(f"{wrong[0]} of a page are of another type or shape")
    if not np.array_equal(arrays["page"], number.to_array()):
        raise ValueError("it sent another page than it was asked for: one twice, or out of order")
    if any(len(arrays[name]) != number.stop - number.start for name in PER_CLIP):
        raise ValueError("a page holds another number of clips than it was asked for")
    if (arrays["lengths"] < 1).any() or (np.diff(arrays["clips"]) <= 0).any() or (arrays["clips"] < 0).any():
        raise ValueError("clips of a page are empty, or not in order")
    if not set(zip(arrays["groups"].tolist(), arrays["classes"].tolist(), strict=True)) <= set(description.places):
        raise ValueError("a page holds clips of a machine that is not its own")
    rows, dimension = arrays["rows"], plan.dimension(description.dimension)
    expected = sum(map(plan.rows, arrays["lengths"].tolist()))
    if rows.shape != (expected, dimension) or rows.dtype != plan.storing.kind:
        raise ValueError(
            f"rows {rows.shape} {rows.dtype} are not what codec {plan.text} makes of it: "
            f"({expected}, {dimension}) {np.dtype(plan.storing.kind)}"
        )
    if not np.isfinite(rows).all():
        raise ValueError("embeddings hold numbers that are not finite")


def codec_of(config: RunConfig) -> CodecPlan:
    """Return the configured codec; samples travel as they are, whatever is configured."""
    return parse("fp32" if config.encoder in RAW_ENCODERS else config.codec)
