"""Recordings out of a zip that is not trusted: all of them, whole and in their places, or none.

They are written to a folder beside and moved into the data folder when the last one is whole, so that a reader of the
data folder never sees half a recording. Room on the disk is asked for before it is needed.
"""

from __future__ import annotations

import errno
import re
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from collab_asd.core.errors import InputError
from collab_asd.core.progress import Advance, step

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


CHUNK = 1 << 20  # bytes
MOST_EXPANSION = 20  # times the size of the zip; noisy 16-bit recordings expand about 1.25 times
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the ones that zipfile unpacks with bounded memory
REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: packed on a system without Unix file modes
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)


class ArchiveError(InputError):
    """A zip is damaged, or is not what it should be."""


def extract(archive: Path, machine_type: str, work: Path, target: Path) -> dict[str, int]:
    """Unpack the recordings of a machine type, ``<type>/{train,test}/*.wav``, into a data folder.

    From 2021 on there may also be the folders ``source_test``, ``target_test`` and ``supplemental``, and tables of
    attributes, ``<type>/attributes_*.csv``. Everything else that may lie in the zip stays there. Files of the same
    names in the data folder are replaced.

    Parameters
    ----------
    archive : Path
    machine_type : str
    work : Path
        Folder on the same disk as ``target``, to unpack in.
    target : Path
        Data folder.

    Returns
    -------
    dict of str to int
        Number of recordings in each folder, which is given relative to ``target``.

    Raises
    ------
    ArchiveError
        If the zip is damaged, any member would land outside its folder or is a link, or it expands beyond reason.
    InputError
        If the disk is too small for the recordings.
    """
    staging = work / f"{archive.stem}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
    try:
        with zipfile.ZipFile(archive) as opened:
            members = recordings(archive, opened, machine_type)
            total = sum(member.file_size for member in members)
            require_space(target, total)
            with step(f"unpacking {archive.name}", total, even=True, in_bytes=True) as advance:
                for member in members:
                    _write(archive, opened, member, staging, advance)
        _move(staging, [member.filename for member in members], target)
        return dict(Counter(str(PurePosixPath(m.filename).parent) for m in members if _is_recording(m)))
    except DAMAGE as error:
        raise ArchiveError(f"{archive}: no zip, or a damaged one ({error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def recordings(archive: Path, opened: zipfile.ZipFile, machine_type: str) -> list[zipfile.ZipInfo]:
    """Members of a zip that are recordings of a machine type, after a look at all members.

    Raises
    ------
    ArchiveError
        If there are none, or any member is not to be trusted.
    """
    for member in opened.infolist():
        if fault := _fault(member):
            raise ArchiveError(f"{archive}: member {member.filename!r} {fault}; nothing was unpacked")
    place = re.compile(
        rf"{re.escape(machine_type)}/((train|test|source_test|target_test|supplemental)/[^/.][^/]*\.wav"
        r"|attributes_[0-9]+\.csv)"
    )
    found = [member for member in opened.infolist() if place.fullmatch(member.filename)]
    if not any(map(_is_recording, found)):
        raise ArchiveError(f"{archive}: holds no {machine_type}/train/*.wav or {machine_type}/test/*.wav")
    twice = [name for name, count in Counter(member.filename for member in found).items() if count > 1]
    if twice:
        raise ArchiveError(f"{archive}: member {twice[0]!r} is there twice; nothing was unpacked")
    size, total = archive.stat().st_size, sum(member.file_size for member in found)
    if total > MOST_EXPANSION * size:
        raise ArchiveError(
            f"{archive}: {size} bytes would unpack to {total}, more than {MOST_EXPANSION} times as many; nothing was "
            "unpacked"
        )
    return found


def _is_recording(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(".wav")


def _fault(member: zipfile.ZipInfo) -> str:
    """Say why a member is not to be trusted, whether or not it is a recording; empty if it is.

    Backslashes and drive letters mean something on Windows only, and no honest zip has them.
    """
    name = member.filename
    if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name) or ".." in PurePosixPath(name).parts:
        return "leads out of the folder"
    if stat.S_IFMT(member.external_attr >> 16) not in REGULAR:
        return "is a link or a device, not a file"
    if member.compress_type not in COMPRESSIONS:
        return f"is compressed in an unusual way (method {member.compress_type})"
    return ""


def _write(archive: Path, opened: zipfile.ZipFile, member: zipfile.ZipInfo, staging: Path, advance: Advance) -> None:
    """Unpack a member; zipfile stops at the size it declares and compares the CRC of what came out."""
    path = staging / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        try:
            with opened.open(member) as packed:
                while chunk := packed.read(CHUNK):
                    out.write(chunk)
                    advance(len(chunk))
        except DAMAGE as error:
            raise ArchiveError(f"{archive}: member {member.filename!r} is damaged ({error})") from error
        if out.tell() != member.file_size:
            raise ArchiveError(
                f"{archive}: member {member.filename!r} declares {member.file_size} bytes and holds {out.tell()}"
            )


def _move(staging: Path, names: list[str], target: Path) -> None:
    for folder in {PurePosixPath(name).parent for name in names}:
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        (staging / name).replace(target / name)
