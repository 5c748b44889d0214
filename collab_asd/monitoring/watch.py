"""A folder that recordings keep coming into."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.data.audio import is_sound

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
States = dict[Path, tuple[int, int]]  # time of change in ns, size in bytes
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
    """Yield each recording of a folder: those that are there, oldest first, and for ever those that come or change.

    A file is ready when its size has stayed the same from one look to the next: recorders write for seconds. One that
    grows on after a longer pause is yielded again. Folders on
    network drives send no notices, so the folder is looked at every `poll` seconds. Nothing is dropped when recordings
    come faster than they are taken: they wait, and the log says how many.

    Raises
    ------
    InputError
        There is no such folder, now or later.
    """
    seen: States = {}
    states: States = {}
    queue: deque[Path] = deque()
    longest, next_look = LONG_QUEUE, time.monotonic()
    while True:
        if time.monotonic() >= next_look:  # not between any two clips: a file that grows would seem to stand still
            states, ready = _look(folder, seen, states)
            seen.update({path: states[path] for path in ready})
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


def _look(folder: Path, seen: States, before: States) -> tuple[States, list[Path]]:
    """Return the states of unseen or changed recordings, and those that have not changed since the last look."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder to watch")
    now: States = {}
    for path in _inside(folder):
        with suppress(FileNotFoundError):  # it may be moved away at any moment
            status = path.stat()
            if (state := (status.st_mtime_ns, status.st_size)) != seen.get(path):
                now[path] = state
    return now, sorted((path for path in now if now[path] == before.get(path)), key=lambda path: (now[path], path))


def _inside(folder: Path) -> list[Path]:
    """List the recordings in a folder, and sound that nothing decodes, which is to be refused in words.

    What vanishes meanwhile is left out (`Path.rglob` would end with an error).
    """
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]  # as in a data folder
        found += (Path(root, name) for name in names)
    return sorted(path for path in found if is_sound(path) and path.is_file())
