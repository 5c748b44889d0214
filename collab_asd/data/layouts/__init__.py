"""A data folder -> its clips, whichever of the known layouts it has.

A layout is added by a module that follows `Layout`, and by its line in `LAYOUTS`, or by an entry point of the group
``collab_asd.layouts``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from collab_asd.core.errors import InputError
from collab_asd.core.registry import Registry
from collab_asd.core.types import Clip
from collab_asd.data.audio import ClipError
from collab_asd.data.recordings import collecting_refusals, recordings_below, shorten


@runtime_checkable
class Layout(Protocol):
    """A way to lay out recordings, as a module offers it."""

    @property
    def DESCRIPTION(self) -> str:  # noqa: N802 -- a constant of the module
        """The layout in one line, for messages."""
        ...

    def matches(self, data_dir: Path) -> bool:
        """Whether the folder looks as if it had this layout, judged without opening recordings."""
        ...

    def read(self, data_dir: Path, channel: int) -> list[Clip]:
        """List all clips; `InputError` where a name or place is not as the layout wants."""
        ...


LAYOUTS: Registry[Layout] = Registry(
    "layout",
    "collab_asd.layouts",
    Layout,
    {
        "DCASE": "collab_asd.data.layouts.dcase",
        "MIMII": "collab_asd.data.layouts.mimii",
        "CSV": "collab_asd.data.layouts.table",
    },
)


class Listing(NamedTuple):
    """What was found in a data folder.

    Parameters
    ----------
    clips : list of Clip
        By path, with absolute paths.
    refused : list of ClipError
        Files that are misnamed, in the wrong place, no recordings or unreadable.
    unread : list of Path
        Other recordings in the folder: its table or its layout leaves them alone.
    """

    clips: list[Clip]
    refused: list[ClipError]
    unread: list[Path]


def find_clips(data_dir: Path, channel: int = 0) -> list[Clip]:
    """List and hash the recordings of a data folder; its layout is told from what lies in it.

    Parameters
    ----------
    data_dir : Path
        A folder of machine types, the folder of one machine type, a folder with a table, or a table (a CSV file).
    channel : int
        The channel to use of each recording, from 0.

    Returns
    -------
    list of Clip
        By path, with absolute paths.

    Raises
    ------
    InputError
        If the folder is missing, empty, of no known layout or a mixture, or names in it are malformed.
    """
    clips, refused, _ = list_clips(data_dir, channel)
    alike: dict[tuple[str, str], list[Path]] = {}
    for fault in refused:
        alike.setdefault((fault.what, fault.remedy), []).append(fault.path)
    lines = [f"{shorten(paths)}: {what}; {remedy}" for (what, remedy), paths in alike.items()]
    if lines:
        raise InputError("\n".join([*lines, "(`collab-asd run --skip-bad` leaves such files out)"]))
    return clips


def list_clips(data_dir: Path, channel: int = 0) -> Listing:
    """List and hash the recordings of a data folder as `find_clips`, beside the files that it would refuse.

    Raises
    ------
    InputError
        If the folder is missing, empty or of no known layout or a mixture.
    """
    if channel < 0:
        raise InputError(f"channel {channel}: channels are counted from 0")
    root = absolute(data_dir)
    layout = layout_of(root)
    with collecting_refusals() as refused:
        clips = layout.read(root, channel)
    if not clips and not refused:
        raise InputError(f"{root}: no recordings in it; copy or download the data again")
    known = {*(clip.path for clip in clips), *(fault.path for fault in refused)}
    unread = [path for path in recordings_below(root) if path not in known]
    return Listing(sorted(clips, key=lambda clip: clip.path), refused, unread)


def divided_again(data_dir: Path, clips: list[Clip]) -> list[Clip]:
    """Divide what is left of a folder's clips into training and test, where that is for the layout to do (MIMII)."""
    divide = getattr(layout_of(absolute(data_dir)), "split_by_hash", None)
    return clips if divide is None else list(divide(clips))


def absolute(data_dir: Path) -> Path:
    """Absolute path without ``~`` and ``..``; symbolic links stay, since names of machine types may be links."""
    return Path(os.path.abspath(data_dir.expanduser()))


def clip_name(clip: Clip, data_dir: Path) -> str:
    """Path relative to the data folder (to the table's folder), with slashes: the clip's name in result files."""
    return file_name(clip.path, data_dir)


def file_name(path: Path, data_dir: Path) -> str:
    """Path of a file as of `clip_name`."""
    root = absolute(data_dir)
    return Path(os.path.relpath(path, root.parent if root.is_file() else root)).as_posix()


def layout_of(data_dir: Path) -> Layout:
    """Tell the layout of a data folder from what lies in it; no recording is opened.

    Raises
    ------
    InputError
        The folder is missing, empty, of no known layout or a mixture.
    """
    root = absolute(data_dir)
    if not root.exists():
        raise InputError(f"{root}: no such folder; name the folder that holds the recordings")
    if root.is_dir() and not any(root.iterdir()):
        raise InputError(f"{root}: the folder is empty; copy or download the data into it")
    matching = {name: layout for name, layout in LAYOUTS.loadable() if layout.matches(root)}
    if len(matching) > 1:
        raise InputError(
            f"{root}: a mixture of the layouts {' and '.join(matching)}; put each into a folder of its own"
        )
    if not matching:
        raise InputError(f"{root}: {_found(root)}of no known layout; known are {_known()}")
    return next(iter(matching.values()))


def _found(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    return f"found {shorten(names)}, " if names else ""


def _known() -> str:
    known = [f"{name}: {layout.DESCRIPTION}" for name, layout in LAYOUTS.loadable()]
    return "; ".join([*known, *filter(None, map(LAYOUTS.problem, LAYOUTS))])
