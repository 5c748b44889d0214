"""The manifest of a run: which clip is with which client, train or test, and its content hash.

Two runs may stand in one table only if their clips agree. Who holds which clip may differ (in a sweep over partitions),
so `manifest_sha256` and `difference` look at content hash, split and label alone.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from collab_asd.core.errors import InputError, reason
from collab_asd.core.types import Partition
from collab_asd.data.layouts import clip_name
from collab_asd.data.recordings import shorten


class ManifestRow(NamedTuple):
    """One clip as in ``manifest.csv``: all text, ``label`` ``"0"``, ``"1"`` or empty; ``clip`` is its relative path."""

    client: str
    machine_type: str
    machine_id: str
    split: str
    label: str
    clip: str
    sha256: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """What must agree between two runs."""
        return self.sha256, self.split, self.label


def manifest_rows(partitions: Iterable[Partition], data_dir: Path) -> list[ManifestRow]:
    """Rows of all clips, client by client, named by their paths relative to the data folder."""
    return [
        ManifestRow(
            str(partition.client),
            clip.machine_type,
            clip.machine_id,
            clip.split,
            "" if clip.label is None else str(clip.label),
            clip_name(clip, data_dir),
            clip.sha256,
        )
        for partition in partitions
        for clip in partition.clips
    ]


def machines_in(rows: Iterable[ManifestRow], without: Collection[str] = ()) -> set[tuple[str, str]]:
    """Return type and ID of the machines whose clips are listed; those of the clients in `without` do not count."""
    return {(row.machine_type, row.machine_id) for row in rows if row.client not in without}


def untested(rows: Sequence[ManifestRow], without: Collection[str] = ()) -> list[str]:
    """Return the machines (``"type/id"``) without a test clip, in order; `without` as of `machines_in`."""
    tested = machines_in((row for row in rows if row.split == "test"), without)
    return ["/".join(machine) for machine in sorted(machines_in(rows, without) - tested)]


def write_manifest(path: Path, rows: Iterable[ManifestRow]) -> None:
    """Write ``manifest.csv``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ManifestRow._fields)
        writer.writerows(rows)


def read_manifest(path: Path) -> list[ManifestRow]:
    """Read ``manifest.csv``.

    Raises
    ------
    InputError
        If the file cannot be read or is no manifest.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
            if tuple(header) != ManifestRow._fields:
                raise ValueError(f"the header is not {','.join(ManifestRow._fields)}")
            return [ManifestRow(*line) for line in lines]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path}: not a manifest ({reason(error)}); start a new run in an empty results folder"
        ) from error


def manifest_sha256(rows: Iterable[ManifestRow]) -> str:
    """Hex SHA-256 over content hash, split and label of all clips, in sorted order and whichever client holds them."""
    lines = sorted(",".join(row.identity) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def difference(before: Sequence[ManifestRow], now: Sequence[ManifestRow]) -> str:
    """In words, which clips differ between two manifests; empty if `manifest_sha256` is the same.

    A clip whose content, split or label is another is *changed*; up to five clips are named of each kind.
    """
    gone, new = _surplus(before, now), _surplus(now, before)
    changed = sorted(gone & new)
    kinds = {"changed": changed, "missing": sorted(gone - new), "new": sorted(new - gone)}
    return "; ".join(f"{kind}: {shorten(clips)}" for kind, clips in kinds.items() if clips)


def _surplus(rows: Sequence[ManifestRow], others: Sequence[ManifestRow]) -> set[str]:
    """Names of the clips that the others lack, counting copies."""
    spare = Counter(row.identity for row in others)
    names = set()
    for row in rows:
        spare[row.identity] -= 1
        if spare[row.identity] < 0:
            names.add(row.clip)
    return names
