"""Write a file, or a folder, so that nobody ever sees half of it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends well, and vanishes otherwise.

    Several processes may write one path at once: each writes a file of its own, the last to end stays.

    Parameters
    ----------
    path : Path
    mode : int
        Its permissions from the first byte on, less the user's mask: 0o600 for a secret.

    Raises
    ------
    OSError
        When the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with open(beside, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(beside)):
            _name(error, path)
        raise


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Fill a folder that is new or empty; what was written in it vanishes when the block fails.

    A folder that holds something already is left as it is then.

    Raises
    ------
    OSError
        As the block does; a full disk's error names the folder.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    is_new = not folder.is_dir() or not any(folder.iterdir())
    try:
        yield
    except BaseException as error:
        if is_new and folder.is_dir():
            for inside in folder.iterdir():
                shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
        for path in missing:
            with suppress(OSError):  # it was never made, or somebody else uses it by now
                path.rmdir()
        if isinstance(error, OSError) and error.filename is None and error.errno in FULL:
            _name(error, folder)
        raise


FULL = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _name(error: OSError, path: Path) -> None:
    """Say where it happened: a full disk does not tell, and NumPy does not even tell that the disk is full."""
    error.filename = str(path)
    error.errno = error.errno or errno.ENOSPC
    error.strerror = error.strerror or os.strerror(errno.ENOSPC)
