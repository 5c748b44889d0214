"""A data folder -> its clips, whichever of the known layouts it has.

A layout is added by a module that follows `Layout`, and by its line in `LAYOUTS`, or by an entry point of the group
``collab_asd.layouts``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from collab_asd.core.errors import InputError
from collab_asd.core.registry import Registry
from collab_asd.core.types import Clip
from collab_asd.data.recordings import shorten


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
    if channel < 0:
        raise InputError(f"channel {channel}: channels are counted from 0")
    root = absolute(data_dir)
    clips = layout_of(root).read(root, channel)
    if not clips:
        raise InputError(f"{root}: no recordings in it; copy or download the data again")
    return sorted(clips, key=lambda clip: clip.path)


def absolute(data_dir: Path) -> Path:
    """Absolute path without ``~`` and ``..``; symbolic links stay, since names of machine types may be links."""
    return Path(os.path.abspath(data_dir.expanduser()))


def clip_name(clip: Clip, data_dir: Path) -> str:
    """Path relative to the data folder (to the table's folder), with slashes: the clip's name in result files."""
    root = absolute(data_dir)
    return Path(os.path.relpath(clip.path, root.parent if root.is_file() else root)).as_posix()


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
