"""What the readers of all layouts share: listing files, refusing strange ones, hashing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from collab_asd.core.errors import InputError
from collab_asd.core.progress import step
from collab_asd.core.terminal import is_text, printable
from collab_asd.core.types import Clip, Split
from collab_asd.data.audio import CONVERT, ClipError, is_recording, is_sound, is_unreadable_sound, sha256_of
from collab_asd.data.excerpts import recording_of

NAMES_SHOWN = 5
DEPTH = 3  # folders between a data folder and its machine types: dev_data/raw/fan

Item = TypeVar("Item")
Result = TypeVar("Result")


class Recording(NamedTuple):
    """A clip whose file has not been read yet."""

    path: Path
    machine_type: str
    machine_id: str
    split: Split
    label: int | None
    attributes: tuple[tuple[str, str], ...] = ()


def subfolders(folder: Path) -> list[Path]:
    """Folders inside a folder by name, but hidden ones and those (``__MACOSX``) that archivers leave."""
    inside = (Path(entry.path) for entry in _entries(folder) if entry.is_dir())
    return sorted(path for path in inside if not path.name.startswith("__"))


def recordings_in(folder: Path) -> list[Path]:
    """All recordings of a folder by name; none where the folder does not exist.

    Raises
    ------
    InputError
        If anything else lies there: half-finished downloads would otherwise be left out without a word.
    """
    if not folder.is_dir():
        return []
    files = sorted(Path(entry.path) for entry in _entries(folder))
    others = [path for path in files if not is_recording(path) or path.is_dir()]
    refuse(list(filter(is_unreadable_sound, others)), f"sound that cannot be decoded; {CONVERT}")
    refuse(
        [path for path in others if not is_unreadable_sound(path)],
        "not a recording; move it out of the data folder or finish its download",
    )
    return [path for path in files if path not in others]


def machine_folders(data_dir: Path, is_machine_type: Callable[[Path], bool], depth: int = DEPTH) -> list[Path]:
    """Return the folders of machine types: the data folder itself if it is one, or else those up to `depth` below."""
    if is_machine_type(data_dir):
        return [data_dir]
    inside = subfolders(data_dir) if depth else []
    return [found for folder in inside for found in machine_folders(folder, is_machine_type, depth - 1)]


def refuse_strays(data_dir: Path, known: Sequence[Path], expected: str) -> None:
    """Refuse recordings that lie beside the known folders inside a folder, where they would be overlooked.

    Raises
    ------
    InputError
        Naming the first such recordings.
    """
    refuse(recordings_below(data_dir, known), f"in the wrong place; expected {expected}")


def recordings_below(folder: Path, known: Sequence[Path] = ()) -> list[Path]:
    """All recordings in a folder and the folders inside it, by path, but hidden ones and those in `known` folders.

    Sound that nothing here decodes is among them; there are none in a file.
    """
    if folder in known:
        return []
    found = []
    for root, folders, names in os.walk(os.path.abspath(folder.expanduser())):
        folders[:] = [name for name in folders if not name.startswith((".", "__")) and Path(root, name) not in known]
        found += [Path(root, name) for name in names if is_sound(Path(name))]
    return sorted(found)


class LeftOut(ClipError):  # noqa: N818 -- collected, never raised
    """A recording that its layout knows, and that is no clip; not an error."""


_refused: ContextVar[list[ClipError] | None] = ContextVar("refused", default=None)


@contextmanager
def collecting_refusals() -> Iterator[list[ClipError]]:
    """Collect what `refuse_all` refuses and `leave_out` leaves out meanwhile, so that all of it is told at once."""
    refused: list[ClipError] = []
    token = _refused.set(refused)
    try:
        yield refused
    finally:
        _refused.reset(token)


def leave_out(paths: Iterable[Path], what: str) -> None:
    """Say that recordings are no clips, to whoever collects it (`collecting_refusals`)."""
    if (refused := _refused.get()) is not None:
        refused.extend(LeftOut(path, what, "left out") for path in paths)


def first_recording(folder: Path) -> Path | None:
    """Return the first recording that is found directly in a folder, without listing all of it."""
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        names = (Path(e.path) for e in entries if not e.name.startswith(".") and e.is_file())
        return next(filter(is_recording, names), None)


def example(data_dir: Path, is_machine_type: Callable[[Path], bool], names: Iterable[str]) -> str:
    """Return the first recording in one of the folders of the first machine type; empty if there is no such type."""
    types = machine_folders(data_dir, is_machine_type) if data_dir.is_dir() else []
    found = next(filter(None, (first_recording(types[0] / name) for name in names)), None) if types else None
    return str(found.relative_to(data_dir)) if found else ""


def refuse(paths: Sequence[Path], why: str) -> None:
    """Refuse files for one reason, as `refuse_all`.

    Parameters
    ----------
    paths : sequence of Path
    why : str
        What is wrong with them and, after a semicolon, what to do.
    """
    what, _, remedy = why.partition("; ")
    refuse_all([ClipError(path, what, remedy) for path in paths])


def refuse_all(faults: Sequence[ClipError]) -> None:
    """Raise an error that names the first files of each fault, if there are any; or collect (`collecting_refusals`).

    Raises
    ------
    InputError
        Unless there are none.
    """
    refused = _refused.get()
    if refused is not None:
        refused.extend(faults)
    elif faults:
        raise InputError("\n".join(describe_faults(faults)))


def describe_faults(faults: Iterable[ClipError]) -> list[str]:
    """Return one line for each kind of fault, naming up to five of the files."""
    alike: dict[tuple[str, str], list[str]] = {}
    for fault in faults:
        detail = f" ({fault.detail})" if fault.detail else ""
        alike.setdefault((fault.what, fault.remedy), []).append(f"{fault.path}{detail}")
    return [f"{shorten(names)}: {what}; {remedy}" for (what, remedy), names in alike.items()]


def shorten(names: Sequence[object]) -> str:
    """Up to five names, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(map(printable, names[:NAMES_SHOWN])) + (f" and {more} more" if more > 0 else "")


def hashed(recordings: Sequence[Recording], channel: int) -> list[Clip]:
    """Read each file for its hash, once per process.

    Raises
    ------
    InputError
        If a path is no text, which result files could not hold, or a file cannot be read.
    """
    unwritable = [recording for recording in recordings if not is_text(recording.path)]
    refuse([recording.path for recording in unwritable], "the path is not in UTF-8; rename the file or folder")
    named = [recording for recording in recordings if recording not in unwritable] if unwritable else recordings
    paths = [recording.path for recording in named]
    hashes = in_threads(_sha256_or_fault, paths, "reading recordings", file_sizes(paths))
    found = list(zip(named, hashes, strict=True))
    for _, fault in found:
        if isinstance(fault, ClipError):
            refuse([fault.path], f"{fault.what}; {fault.remedy}")
    return [Clip(*r[:-1], sha256, channel, r.attributes) for r, sha256 in found if isinstance(sha256, str)]


def _sha256_or_fault(path: Path) -> str | ClipError:
    try:
        with suppress(OSError):  # of which `sha256_of` says more
            now = path.stat()
            return _sha256(path, now.st_size, now.st_mtime_ns, now.st_ino)
        return sha256_of(path)
    except ClipError as fault:
        return fault


@lru_cache(maxsize=100_000)
def _sha256(path: Path, size: int, changed: int, inode: int) -> str:
    """Hash a file once per process, as long as it stays the same: command line, server and clients all read it."""
    return sha256_of(path)


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, sizes: Sequence[int]
) -> Iterable[Result]:
    """Yield results in order; threads suffice, since hashing and decoding release the interpreter's lock.

    Parameters
    ----------
    what : str
        What is being done, in words.
    sizes : sequence of int
        Of the items, in bytes: what each costs.
    """
    workers = min(8, os.cpu_count() or 1)
    with (
        ThreadPoolExecutor(max_workers=workers) as pool,
        step(what, len(items), cost=sizes, workers=workers) as advance,
    ):
        for result in pool.map(function, items):
            advance()
            yield result


def file_sizes(paths: Iterable[Path]) -> list[int]:
    """Sizes in bytes, of each file at least 1: one that cannot be read is for others to report."""
    files = map(recording_of, paths)
    return [max(1, path.stat().st_size) if path.is_file() else 1 for path in files]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]
