"""What a client says of itself before it sends anything, and what the server therefore expects of its pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np

from collab_asd.core.types import Part
from collab_asd.methods.embedding_sharing.pages import PER_CLIP, Arrays, PageNumber
from collab_asd.wire.codecs import CodecPlan

KINDS = {"page": np.int32, **dict.fromkeys(PER_CLIP, np.int32)}


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
    _require_known(arrays, description)
    _require_rows(arrays, description.dimension, plan)


def _require_known(arrays: Arrays, description: ClientDescription) -> None:
    if (arrays["lengths"] < 1).any() or (np.diff(arrays["clips"]) <= 0).any() or (arrays["clips"] < 0).any():
        raise ValueError("clips of a page are empty, or not in order")
    if not set(zip(arrays["groups"].tolist(), arrays["classes"].tolist(), strict=True)) <= set(description.places):
        raise ValueError("a page holds clips of a machine that is not its own")


def _require_rows(arrays: Arrays, dimension: int, plan: CodecPlan) -> None:
    rows, expected = arrays["rows"], sum(map(plan.rows, arrays["lengths"].tolist()))
    if rows.shape != (expected, plan.dimension(dimension)) or rows.dtype != plan.storing.kind:
        raise ValueError(
            f"rows {rows.shape} {rows.dtype} are not what codec {plan.text} makes of it: "
            f"({expected}, {plan.dimension(dimension)}) {np.dtype(plan.storing.kind)}"
        )
    if not np.isfinite(rows).all():
        raise ValueError("embeddings hold numbers that are not finite")
