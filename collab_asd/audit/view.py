"""Reading a recorded view: what one party received, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays
from collab_asd.core.errors import InputError, reason
from collab_asd.core.schemas import VIEW as VIEW_SCHEMA
from collab_asd.wire.codecs import Codec, CodecPlan

DESCRIBE, STATISTICS = "query.describe", "query.statistics"
PAGE, SCORE = "train.embeddings", "evaluate.score"
FACTS = {DESCRIBE: "client", STATISTICS: "encoder"}
"""Where clients say what their encoder is: type of the message and record."""


@dataclass(frozen=True)
class Recorded:
    """One message.

    Parameters
    ----------
    way : str
        ``"up"`` from a client, ``"down"`` to it.
    client : int
    kind : str
        Its type.
    records : mapping
        What it held beside arrays.
    arrays : mapping of str to array
        By record and name, as ``"page/rows"``.
    """

    way: str
    client: int
    kind: str
    records: Mapping[str, Mapping[str, Any]]
    arrays: Mapping[str, NDArray[Any]]

    def part(self, record: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of one record."""
        prefix = f"{record}/"
        return {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class SharedRows:
    """What the server received of one clip.

    Parameters
    ----------
    client, clip : int
        Whose it is, and its number there.
    part : int
        0 what f_s was trained on, 1 calibration, 2 test.
    rows : array
        ``[n, d]``, as they travelled.
    length : int
        Frames T before the codec.
    """

    client: int
    clip: int
    part: int
    rows: NDArray[Any]
    length: int


@dataclass(frozen=True)
class View:
    """All messages of a run, client by client, in the order in which they passed."""

    messages: tuple[Recorded, ...]

    @classmethod
    def read(cls, folder: Path) -> View:
        """Read the folder that a run wrote.

        Raises
        ------
        InputError
            It is not there, empty, or damaged.
        """
        cards = sorted(folder.glob("client-*/*.json"))
        if not cards:
            raise InputError(f"{folder}: no recorded view; repeat the run with --set record-view=true")
        return cls(tuple(map(_read, cards)))

    def of(self, way: str, kind: str) -> Iterator[Recorded]:
        """Messages of one type that went one way."""
        return (m for m in self.messages if (m.way, m.kind) == (way, kind))

    def encoder_digests(self) -> set[str]:
        """Return what the clients say that their encoders are; nothing where no message tells."""
        said = (m.records.get(record, {}) for kind, record in FACTS.items() for m in self.of("up", kind))
        return {str(facts["digest"]) for facts in said if "digest" in facts}

    def codec(self, plan: CodecPlan) -> Codec:
        """Return the codec that the server asked for pages by, last.

        Raises
        ------
        InputError
            No page was asked for.
        """
        requests = list(self.of("down", PAGE))
        if not requests:
            raise InputError("the recorded view holds no embeddings: no client got as far as sharing any")
        return plan.with_arrays(requests[-1].part("codec"))

    def shared(self, plan: CodecPlan) -> list[SharedRows]:
        """Return what the server received, clip by clip; a clip that was sent twice stands once, as sent last."""
        clips = (clip for message in self.of("up", PAGE) for clip in _clips(message, plan))
        return list({(clip.client, clip.clip): clip for clip in clips}.values())

    def classifiers(self) -> dict[int, IdClassifier]:
        """Return each f_s that was sent to a client, by group; none under Algorithm 2."""
        found = {}
        for message in self.of("down", SCORE):
            for group in (int(name.partition("/")[2]) for name in message.records if name.startswith("settings/")):
                settings = ClassifierSettings.from_plain(message.records[f"settings/{group}"])
                found[group] = from_arrays(settings, message.part(f"f_s/{group}"))
        return found


def _clips(message: Recorded, plan: CodecPlan) -> Iterator[SharedRows]:
    page = message.part("page")
    if not page:  # the client failed, and sent a reason in its place
        return
    ends = np.cumsum([plan.rows(int(length)) for length in page["lengths"]])
    for rows, clip, length in zip(np.split(page["rows"], ends[:-1]), page["clips"], page["lengths"], strict=True):
        yield SharedRows(message.client, int(clip), int(page["page"][0]), rows, int(length))


def _read(card: Path) -> Recorded:
    plain = VIEW_SCHEMA.read(card)
    try:
        arrays = load_arrays(card.with_suffix(".safetensors").read_bytes())
        return Recorded(plain["way"], plain["client"], plain["kind"], plain["records"], arrays)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{card}: cannot be read ({reason(error)}); repeat the run with --set record-view=true"
        ) from error
