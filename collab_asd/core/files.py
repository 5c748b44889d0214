"""Files and folders of a user's machine: where they lie, written whole or not at all, by one process at a time.

Text files that people write are read in whichever encoding their editor or spreadsheet saves them.
"""

from __future__ import annotations

import codecs
import errno
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote
from uuid import uuid4

from filelock import FileLock, Timeout
from platformdirs import user_cache_path, user_data_path

from collab_asd.core.errors import InputError
from collab_asd.core.terminal import is_text

log = logging.getLogger(__name__)
LARGEST_TEXT = 2**28  # bytes
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CONTROLS = frozenset(map(chr, range(32))) - set("\t\n\r\f\x1b")  # an escape: names copied from a terminal
FULL = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
APP = "collab-asd"
PROBE_BYTES = 4096  # enough to meet a full disk
LOCK = ".lock"
LOOK_SECONDS = 1.0
"""`is_locked` holds a lock for a moment."""
SECTION = re.compile(r"section_[0-9]+")


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


def _name(error: OSError, path: Path) -> None:
    """Say where it happened: a full disk does not tell, and NumPy does not even tell that the disk is full."""
    error.filename = str(path)
    error.errno = error.errno or errno.ENOSPC
    error.strerror = error.strerror or os.strerror(errno.ENOSPC)


def cache_dir(configured: str) -> Path:
    """Folder for weights, embeddings and synthetic machines: the configured one, or the user's cache folder."""
    return Path(configured).expanduser().absolute() if configured else _own(user_cache_path(APP), "cache-dir")


def data_dir() -> Path:
    """Folder for what this program remembers for the user."""
    return _own(user_data_path(APP), "XDG_DATA_HOME")


def results_dir(configured: str, run_id: int) -> Path:
    """Folder of one run's results: the configured one, or one named by Flower's run ID in the user's data folder.

    Server and clients find it without telling each other a path.
    """
    if configured:
        return Path(configured).expanduser().absolute()
    return results_folder("") / f"run-{run_id}"


def results_folder(configured: str) -> Path:
    """Folder that the results of a node's runs lie in: the configured one, or the user's data folder."""
    return Path(configured) if configured else _own(user_data_path(APP), "results-dir") / "results"


def _own(folder: Path, key: str) -> Path:
    """Refuse ``~/…``, which a user without a home folder gets in its place."""
    if not folder.is_absolute():
        raise InputError(f"{folder}: this user has no home folder; name a folder with {key}")
    return folder


def machine_folder_name(machine_type: str, machine_id: str) -> str:
    """Name of a file or folder of one machine: ``"ToyCar_id_01"``, with what a path cannot hold as ``%XX``.

    A section of DCASE 2021 and later is named as the challenge does: ``"ToyCar_section_00"``.

    An underscore of the ID is escaped as well: the last one then ends the type, and no two machines share a name.
    """
    if SECTION.fullmatch(machine_id):
        return f"{quote(machine_type, safe=' ')}_{machine_id}"
    return f"{quote(machine_type, safe=' ')}_id_{quote(machine_id, safe=' ').replace('_', '%5F')}"


def holding_name(machine_type: str, machine_id: str, client: int | None = None) -> str:
    """Where, among what clients keep, lies what one keeps of a machine: ``"ToyCar_id_01"``.

    `client` is named where several may hold that machine: ``"client-2/ToyCar_id_01"``.
    """
    name = machine_folder_name(machine_type, machine_id)
    return name if client is None else f"client-{client}/{name}"


def require_writable(folder: Path, remedy: str) -> None:
    """Refuse a folder that cannot be made or written in, before any work is done; leaves nothing behind.

    Parameters
    ----------
    folder : Path
        Need not exist.
    remedy : str
        What to do: how to name another folder.

    Raises
    ------
    InputError
        A part of the path is a file, it is read-only, its permissions forbid it, or the disk is full.
    """
    if not is_text(folder):
        raise InputError(f"{folder}: the path is not in UTF-8; {remedy}")
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(bytes(PROBE_BYTES))
    except NotADirectoryError:
        what = "is a file, not a folder" if nearest == folder else f"cannot be made, {nearest} is a file"
        raise InputError(f"{folder}: {what}; {remedy}") from None
    except OSError as error:
        raise InputError(f"{folder}: nothing can be written there ({error.strerror}); {remedy}") from error


@contextmanager
def exclusive_lock(folder: Path, work: str) -> Iterator[None]:
    """Keep other processes from working on a folder; the lock of one that was killed is gone with it.

    Work that fails before it leaves anything in a new folder leaves no folder.

    Raises
    ------
    InputError
        Another process is at work there.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=LOOK_SECONDS)
    except Timeout:
        raise InputError(f"{folder}: another process is at work on this {work}; wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.release()
        if is_new and all(path.name == LOCK for path in folder.iterdir()):
            shutil.rmtree(folder)


def is_locked(folder: Path) -> bool:
    """Whether another process holds the `exclusive_lock` of a folder."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def read_text(path: Path) -> str:
    r"""Read a text file: UTF-8, UTF-16 or UTF-32 as its first bytes tell, or else Windows-1252, which is logged.

    Lines end in ``\n``, whatever they end in.

    Raises
    ------
    InputError
        The file holds no text, or too much of it.
    OSError
        It cannot be read.
    """
    if path.stat().st_size > LARGEST_TEXT:
        raise InputError(f"{path}: too large for a text file ({path.stat().st_size / 1e9:.1f} GB)")
    content = path.read_bytes()
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
        if not CONTROLS.isdisjoint(text):
            raise ValueError
    except ValueError:
        raise InputError(f"{path}: is no text file; save it as text in UTF-8") from None
    if encoding == "cp1252":
        log.warning("%s: not in UTF-8; it was read as Windows-1252, in which Western Windows saves text", path)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(content: bytes) -> str:
    """Tell the encoding of a text from its byte order mark, its zeros, or whether it is UTF-8.

    Examples
    --------
    >>> encoding_of("Köln".encode()), encoding_of("Köln".encode("utf-16-le")), encoding_of("Köln".encode("cp1252"))
    ('utf-8', 'utf-16-le', 'cp1252')
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    even, odd = content[0::2].count(0), content[1::2].count(0)
    if max(even, odd) > len(content) / 8:  # the upper halves of what are mostly Latin letters
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)  # the beginning of a file may end within a letter
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
