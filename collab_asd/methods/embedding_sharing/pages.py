"""What a client sends: first a description of what it has to share, then pages of whole clips, as named arrays.

A page holds ``rows``, what the codec made of the frames of all its clips, and per clip ``lengths`` (its frames T),
``clips`` (its number, which follows from a secret of the client), ``groups`` and ``classes``; and under ``page`` which
page it is. No name, path or label is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from collab_asd.config import RunConfig
from collab_asd.core.types import PARTS, RAW_ENCODERS, FloatArray, Part
from collab_asd.wire.codecs import Codec, CodecPlan, parse
from collab_asd.wire.codecs.stages import Stage
from collab_asd.wire.fields import (
    MOST_CLIP_BYTES,
    MOST_CLIPS,
    MOST_DIMENSIONS,
    MOST_FRAMES,
    MOST_MACHINES,
    MOST_WINDOW,
    Numbers,
    Value,
    require,
)

FLOAT = 4  # bytes of a number of an embedding
MEGABYTE = 1_000_000

PER_CLIP = ("lengths", "clips", "groups", "classes")
MOST_NOTE = 2000  # characters
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
        require({name.replace("_", "-"): value for name, value in SAID.items()}, record)
        description = cls(**{key.replace("-", "_"): value for key, value in record.items()})
        if len(description.groups) != len(description.classes):
            raise ValueError("its description gives some machines a group without a class, or a class without a group")
        if len(set(description.places)) < len(description.groups):
            raise ValueError("its description names a machine twice")
        if not description.train_pages or not description.groups:
            raise ValueError("its description says that there is nothing to share")
        if any(start >= stop for part in PARTS for _, start, stop in map(astuple, description.pages(part))):
            raise ValueError("its description has pages without clips, or not in order")
        if description.stack * description.dimension > MOST_WINDOW:
            raise ValueError(f"its windows of {description.stack} frames of {description.dimension} are too large")
        return description

    @property
    def places(self) -> list[tuple[int, int]]:
        """Its machines, as group and class."""
        return list(zip(self.groups, self.classes, strict=True))

    def pages(self, part: Part) -> list[PageNumber]:
        """Return its pages of one part."""
        ends: list[int] = getattr(self, f"{part}_pages")
        return [PageNumber(part, start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


_PAGES = Value(list, 1, MOST_CLIPS, most=MOST_CLIPS)
_PLACES = Value(list, 0, 2**31 - 1, most=MOST_MACHINES)
SAID = {
    **dict.fromkeys(("train_pages", "calibration_pages", "test_pages"), _PAGES),
    **dict.fromkeys(("groups", "classes"), _PLACES),
    "dimension": Value(int, 1, MOST_DIMENSIONS),
    **dict.fromkeys(("stack", "stack_hop"), Value(int, 1, MOST_WINDOW)),
    **dict.fromkeys(("digest", "clips_digest"), Value(str)),
    "note": Value(str, most=MOST_NOTE),
}
"""What each of the fields of a `ClientDescription` may be."""


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


def sha256_of(rows: NDArray[Any]) -> str:
    """SHA-256 (hex) of the numbers of rows."""
    return hashlib.sha256(np.ascontiguousarray(rows).data if rows.size else b"").hexdigest()


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


def require_valid_page(
    number: PageNumber, arrays: Arrays, description: ClientDescription, plan: CodecPlan, page_bytes: float = np.inf
) -> None:
    """Refuse a page that is not the one that was asked for, or cannot have come out of the codec.

    Parameters
    ----------
    page_bytes : float
        The most that its rows may be.

    Raises
    ------
    ValueError
        Says what is wrong, without any of the page's content.
    """
    count, dimension = number.stop - number.start, plan.dimension(description.dimension)
    fields = {"page": Numbers("int32", (3,)), **dict.fromkeys(PER_CLIP, Numbers("int32", (count,), 0))}
    require(fields, {name: array for name, array in arrays.items() if name != "rows"})
    if not np.array_equal(arrays["page"], number.to_array()):
        raise ValueError("it sent another page than it was asked for: one twice, or out of order")
    if (arrays["lengths"] < 1).any() or (np.diff(arrays["clips"]) <= 0).any():
        raise ValueError("clips of a page are empty, or not in order")
    require_decodable(int(arrays["lengths"].max()), description.dimension)
    if not set(zip(arrays["groups"].tolist(), arrays["classes"].tolist(), strict=True)) <= set(description.places):
        raise ValueError("a page holds clips of a machine that is not its own")
    rows = sum(map(plan.rows, arrays["lengths"].tolist()))
    kind = np.dtype(plan.storing.kind)
    if rows * dimension * kind.itemsize > page_bytes:
        raise ValueError(f"a page is larger than the {page_bytes / 1e6:g} MB of page-megabytes")
    require({"rows": Numbers(kind.name, (rows, dimension))}, {n: a for n, a in arrays.items() if n == "rows"})


def require_decodable(frames: int, dimension: int) -> None:
    """Refuse a clip of which nobody could hold the frames, before it is decoded.

    Raises
    ------
    ValueError
        Says how large it is.
    """
    if frames > MOST_FRAMES or frames * dimension * FLOAT > MOST_CLIP_BYTES:
        raise ValueError(
            f"a clip of {frames:,} frames of {dimension} numbers is longer than what is shared "
            f"({MOST_CLIP_BYTES / 1e6:.0f} MB at most): cut recordings into clips (clip-seconds)"
        )


def codec_of(config: RunConfig) -> CodecPlan:
    """Return the configured codec; samples travel as they are, whatever is configured."""
    return parse("fp32" if config.encoder in RAW_ENCODERS else config.codec)
