"""One process at a time on one folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from collab_asd.errors import InputError


@contextmanager
def alone(folder: Path, work: str) -> Iterator[None]:
    """Keep other processes from working on a folder; the lock of one that was killed is gone with it.

    Work that fails before it leaves anything in a new folder leaves no folder.

    Raises
    ------
    InputError
        Another process is at work there.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(f"{folder}: another process is at work on this {work}; wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.release()
        if is_new and all(path.name == ".lock" for path in folder.iterdir()):
            shutil.rmtree(folder)
