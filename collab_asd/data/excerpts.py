"""Clips that are parts of a long recording, cut without copying anything.

Such a clip has the recording's path with its beginning and end in seconds behind it, as in a URI's media fragment:
``logger/monday.wav#t=20-30``. Its content hash is that of the recording's hash and these numbers. Whatever reads clips,
lists or names them takes such a path. Clips of one recording are much alike, so they stay together wherever clips are
divided.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

EXCERPT = re.compile(r"(?P<recording>.+)#t=(?P<start>[0-9]+(?:\.[0-9]+)?)-(?P<end>[0-9]+(?:\.[0-9]+)?)")
FOLDS = 10  # stretches that one recording is divided into where there is no other


class Excerpt(NamedTuple):
    """Part of a recording, from `start` to `end` in s."""

    recording: Path
    start: float
    end: float

    @property
    def path(self) -> Path:
        """What stands for it wherever a clip's path is asked for."""
        return self.recording.with_name(f"{self.recording.name}#t={_seconds(self.start)}-{_seconds(self.end)}")


def excerpt_of(path: Path) -> Excerpt | None:
    """Return the part of a recording that a path stands for; None where it is a file's.

    Examples
    --------
    >>> excerpt_of(Path("monday.wav#t=20-30")).end, excerpt_of(Path("monday.wav"))
    (30.0, None)
    """
    found = EXCERPT.fullmatch(path.name)
    return found and Excerpt(path.with_name(found["recording"]), float(found["start"]), float(found["end"]))


def recording_of(path: Path) -> Path:
    """Return the file that a clip's path stands for, or a part of which it stands for."""
    found = excerpt_of(path)
    return path if found is None else found.recording


def excerpts(recording: Path, seconds: float, clip_seconds: float) -> list[Excerpt]:
    """Cut a recording of so many seconds into clips; one that is too short for two is not cut.

    The last clip takes what is left over: half as long as the others at least, and half as long again at most.

    Examples
    --------
    >>> [clip.path.name for clip in excerpts(Path("a.wav"), 34.0, 10.0)]
    ['a.wav#t=0-10', 'a.wav#t=10-20', 'a.wav#t=20-34']
    """
    count = int(seconds / clip_seconds + 0.5)
    if count < 2:
        return []
    starts = [round(clip_seconds * number, 3) for number in range(count)]
    return [Excerpt(recording, *ends) for ends in zip(starts, [*starts[1:], int(seconds * 1000) / 1000], strict=True)]


def excerpt_sha256(recording_sha256: str, excerpt: Excerpt) -> str:
    """Hex SHA-256 that stands for the content of a part of a recording."""
    return hashlib.sha256(
        f"{recording_sha256}#t={_seconds(excerpt.start)}-{_seconds(excerpt.end)}".encode()
    ).hexdigest()


def together(paths: Iterable[Path]) -> list[list[int]]:
    """Return the positions of clips that belong together: those that were cut from one recording, every other alone."""
    of_one: dict[Path | int, list[int]] = {}
    for number, path in enumerate(paths):
        excerpt = excerpt_of(path)
        of_one.setdefault(excerpt.recording if excerpt else number, []).append(number)
    return list(of_one.values())


def by_recording(paths: Iterable[Path]) -> tuple[int, ...]:
    """Return the number of the recording that each clip is from; empty where none is part of a longer one.

    Where all are parts of a single recording, ten stretches of it take the place of recordings.
    """
    found = list(paths)
    if not any(map(excerpt_of, found)):
        return ()
    numbers: dict[Path, int] = {}
    owners = tuple(numbers.setdefault(recording_of(path), len(numbers)) for path in found)
    return owners if len(numbers) > 1 else tuple(_stretches(found))


def _stretches(paths: list[Path]) -> Iterator[int]:
    starts = [part.start if (part := excerpt_of(path)) else 0.0 for path in paths]
    rank = {start: number for number, start in enumerate(sorted(starts))}
    yield from (rank[start] * FOLDS // len(paths) for start in starts)


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
