"""A data folder -> its clips, whichever of the known layouts it has.

A layout is added by a module that follows `Layout`, and by its line in `LAYOUTS`, or by an entry point of the group
``collab_asd.layouts``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from collab_asd.core.errors import InputError
from collab_asd.core.registry import Registry
from collab_asd.core.types import Clip
from collab_asd.data.audio import ClipError, seconds_of
from collab_asd.data.excerpts import excerpt_of, excerpt_sha256, excerpts, recording_of
from collab_asd.data.recordings import LeftOut, collecting_refusals, describe_faults, recordings_below, shorten

NO_RECORDINGS = "no recordings in it; copy or download the data again"


@runtime_checkable
class Layout(Protocol):
    """A way to lay out recordings, as a module offers it.

    A module with ``IS_GENERAL = True`` gives way to any other that fits as well.
    """

    @property
    def DESCRIPTION(self) -> str:  # noqa: N802 -- a constant of the module
        """The layout in one line, for messages."""
        ...

    def matches(self, data_dir: Path) -> str | bool:
        """Return what in the folder shows this layout, judged without opening recordings; empty if it has another."""
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
        "DCASE-sections": "collab_asd.data.layouts.dcase_sections",
        "MIMII": "collab_asd.data.layouts.mimii",
        "ToyADMOS": "collab_asd.data.layouts.toyadmos",
        "ToyADMOS2": "collab_asd.data.layouts.toyadmos2",
        "MVTec": "collab_asd.data.layouts.mvtec",
        "HuggingFace": "collab_asd.data.layouts.huggingface",
        "CSV": "collab_asd.data.layouts.table",
        "folders": "collab_asd.data.layouts.folders",
    },
)


class Detected(NamedTuple):
    """The layout of a data folder: its name, what reads it, and what in the folder shows it."""

    name: str
    layout: Layout
    why: str


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
    left_out : list of LeftOut
        Recordings that the layout knows, and that are no clips.
    """

    clips: list[Clip]
    refused: list[ClipError]
    unread: list[Path]
    left_out: list[LeftOut]


def find_clips(data_dir: Path, channel: int = 0, layout: str = "", clip_seconds: float = 0.0) -> list[Clip]:
    """List and hash the recordings of a data folder; its layout is told from what lies in it.

    Parameters
    ----------
    data_dir : Path
        A folder of machine types, the folder of one machine type, a folder with a table, or a table (a CSV file).
    channel : int
        The channel to use of each recording, from 0.
    layout : str
        Name of the layout; empty: told from what lies in the folder.
    clip_seconds : float
        Length of the clips that longer recordings are cut into, s; 0: none is cut.

    Returns
    -------
    list of Clip
        By path, with absolute paths.

    Raises
    ------
    InputError
        If the folder is missing, empty, of no known layout or a mixture, or names in it are malformed.
    """
    clips, refused, _, _ = list_clips(data_dir, channel, layout, clip_seconds)
    if refused:
        hint = "(`collab-asd data check` shows all that is wrong; `collab-asd run --skip-bad` leaves such files out)"
        raise InputError("\n".join([*describe_faults(refused), hint]))
    return clips


def list_clips(data_dir: Path, channel: int = 0, layout: str = "", clip_seconds: float = 0.0) -> Listing:
    """List and hash the recordings of a data folder as `find_clips`, beside the files that it would refuse.

    Raises
    ------
    InputError
        If the folder is missing, empty or of no known layout or a mixture.
    """
    if channel < 0:
        raise InputError(f"channel {channel}: channels are counted from 0")
    root = absolute(data_dir)
    with collecting_refusals() as found:
        clips = layout_of(root, layout).layout.read(root, channel)
    refused = [fault for fault in found if not isinstance(fault, LeftOut)]
    left_out = [fault for fault in found if isinstance(fault, LeftOut)]
    if not clips and not refused:
        raise InputError(f"{root}: {NO_RECORDINGS}")
    known = {*(recording_of(clip.path) for clip in clips), *(fault.path for fault in found)}
    unread = [path for path in recordings_below(root) if path not in known]
    clips = cut(clips, clip_seconds) if clip_seconds else clips
    return Listing(sorted(clips, key=lambda clip: clip.path), refused, unread, left_out)


def cut(clips: Iterable[Clip], clip_seconds: float) -> list[Clip]:
    """Replace each clip that is long enough for two by the clips it is cut into; nothing is copied or decoded."""
    return [part for clip in clips for part in _parts(clip, clip_seconds)]


def _parts(clip: Clip, clip_seconds: float) -> list[Clip]:
    if excerpt_of(clip.path):
        return [clip]
    try:
        parts = excerpts(clip.path, seconds_of(clip.path), clip_seconds)
    except ClipError:
        return [clip]  # whoever decodes it says what is wrong with it
    return [replace(clip, path=part.path, sha256=excerpt_sha256(clip.sha256, part)) for part in parts] or [clip]


def divided_again(data_dir: Path, clips: list[Clip], layout: str = "") -> list[Clip]:
    """Divide what is left of a folder's clips into training and test, where that is for the layout to do (MIMII).

    Clips that were cut from long recordings stay where these are.
    """
    divide = getattr(layout_of(data_dir, layout).layout, "divide_again", None)
    return clips if divide is None or any(excerpt_of(clip.path) for clip in clips) else list(divide(clips))


def absolute(data_dir: Path) -> Path:
    """Absolute path without ``~`` and ``..``; symbolic links stay, since names of machine types may be links."""
    return Path(os.path.abspath(data_dir.expanduser()))


def clip_name(clip: Clip, data_dir: Path) -> str:
    """Path relative to the data folder (to the table's folder), with slashes: the clip's name in result files."""
    return file_name(clip.path, data_dir)


def file_name(path: Path, data_dir: Path) -> str:
    """Path of a file as of `clip_name`."""
    return os.path.relpath(path, _named_from(data_dir))


@lru_cache(maxsize=16)  # each clip of a run is named several times
def _named_from(data_dir: Path) -> Path:
    root = absolute(data_dir)
    return root.parent if root.is_file() else root


def layout_of(data_dir: Path, layout: str = "") -> Detected:
    """Tell the layout of a data folder from what lies in it; no recording is opened.

    Parameters
    ----------
    data_dir : Path
    layout : str
        Name of the layout, in upper or lower case; empty: whichever fits.

    Raises
    ------
    InputError
        The folder is missing, empty, of no known layout or of several, or there is no layout of that name.
    """
    root = absolute(data_dir)
    if not root.exists():
        raise InputError(f"{root}: no such folder; name the folder that holds the recordings")
    if root.is_dir() and not any(root.iterdir()):
        raise InputError(f"{root}: the folder is empty; copy or download the data into it")
    if layout:
        name = {known.lower(): known for known in LAYOUTS}.get(layout.lower(), layout)
        return Detected(name, LAYOUTS.find(name), "as asked for")
    fitting = [
        Detected(name, known, why if isinstance(why, str) else known.DESCRIPTION)
        for name, known in LAYOUTS.loadable()
        if (why := known.matches(root))
    ]
    special = [found for found in fitting if not getattr(found.layout, "IS_GENERAL", False)] or fitting
    if len(special) > 1:
        raise InputError(
            f"{root}: a mixture of the layouts {' and '.join(f'{found.name} ({found.why})' for found in special)}; put "
            "each into a folder of its own, or name one with --layout (key layout)"
        )
    if special:
        return special[0]
    if root.is_dir() and not recordings_below(root) and next(root.glob("*.csv"), None) is None:
        raise InputError(f"{root}: {_found(root)}{NO_RECORDINGS}; known layouts are {_known()}")
    raise InputError(f"{root}: {_found(root)}of no known layout; known are {_known()}")


def _found(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    return f"found {shorten(names)}, " if names else ""


def _known() -> str:
    known = [f"{name}: {layout.DESCRIPTION}" for name, layout in LAYOUTS.loadable()]
    return "; ".join([*known, *filter(None, map(LAYOUTS.problem, LAYOUTS))])
