"""Files that nobody but their owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from collab_asd.errors import InputError

ONLY_OWNER = 0o600


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that no other user could read at any time.

    Raises
    ------
    InputError
        It is there already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_OWNER)
    except FileExistsError:
        raise InputError(f"{path}: is there already, and no key is overwritten; move it away first") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def open_to_others(path: Path) -> bool:
    """Whether other users may read a file, or write it."""
    return bool(stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO))
