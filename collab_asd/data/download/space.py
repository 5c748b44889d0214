"""Room on the disk: asked for before it is needed, and words for when it runs out all the same."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collab_asd.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT)


def free_space(folder: Path) -> int:
    """Free bytes on the disk that a folder lies on, or will lie on."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what will not fit.

    Raises
    ------
    InputError
        If fewer than ``needed`` bytes are free.
    """
    free = free_space(folder)
    if free < needed:
        raise InputError(
            f"{folder}: needs {gigabytes(needed)}, has {gigabytes(free)} free; free some space, choose a folder on "
            "another disk, or choose fewer --types or --parts"
        )


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses inside the block into an `InputError`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            why = "the disk is full; free some space, then the same command resumes"
        else:
            why = f"cannot be read or written ({error}); give another folder, or the rights to this one"
        raise InputError(f"{folder}: {why}") from error


def gigabytes(size: int) -> str:
    """Bytes for people, in GB of 10^9 bytes, as disks and Zenodo count.

    Examples
    --------
    >>> gigabytes(1_816_443_231), gigabytes(90_000_000)
    ('1.8 GB', '0.1 GB')
    """
    return f"{size / 1e9:.1f} GB"
