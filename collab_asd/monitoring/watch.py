"""A folder that recordings keep coming into."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from collab_asd.data.audio import is_recording
from collab_asd.errors import InputError

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
LONG_QUEUE = 20  # clips


def recordings(paths: list[Path]) -> list[Path]:
    """List the recordings among files and in folders, in the order given and by name within a folder.

    Raises
    ------
    InputError
        A path does not exist, or a folder holds no recordings.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        inside = _inside(path) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path}: no recordings in it")
        found.extend(inside)
    return found


def watch(folder: Path, poll: float = POLL_SECONDS) -> Iterator[Path]:
    """Yield each recording of a folder once: those that are there, oldest first, and for ever those that come.

    A file is ready when its size has stayed the same from one look to the next: recorders write for seconds. Folders on
    network drives send no notices, so the folder is looked at every `poll` seconds. Nothing is dropped when recordings
    come faster than they are taken: they wait, and the log says how many.

    Raises
    ------
    InputError
        There is no such folder, now or later.
    """
    seen: set[Path] = set()
    sizes: dict[Path, int] = {}
    queue: deque[Path] = deque()
    longest, next_look = LONG_QUEUE, time.monotonic()
    while True:
        if time.monotonic() >= next_look:  # not between any two clips: a file that grows would seem to stand still
            sizes, ready = _look(folder, seen, sizes)
            seen.update(ready)
            queue.extend(ready)
            next_look = time.monotonic() + poll
        if len(queue) >= longest:
            log.warning("%s: %d recordings wait; they come faster than they are scored", folder, len(queue))
            longest = 2 * len(queue)
        if queue:
            yield queue.popleft()
        else:
            longest = LONG_QUEUE
            time.sleep(poll)


def _look(folder: Path, seen: set[Path], before: dict[Path, int]) -> tuple[dict[Path, int], list[Path]]:
    """Return the sizes of unseen recordings, and those that have not grown since the last look."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder to watch")
    now: dict[Path, int] = {}
    ready: list[tuple[float, Path]] = []
    for path in _inside(folder):
        if path not in seen:
            with suppress(FileNotFoundError):  # it may be moved away at any moment
                status = path.stat()
                now[path] = status.st_size
                if before.get(path) == status.st_size:
                    ready.append((status.st_mtime, path))
    return now, [path for _, path in sorted(ready)]


def _inside(folder: Path) -> list[Path]:
    """List the recordings in a folder; what vanishes meanwhile is left out (`Path.rglob` would end with an error)."""
    found = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if is_recording(path) and path.is_file())
