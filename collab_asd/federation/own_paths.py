"""Paths of a client's own in ``--node-config``: plain ones, that lead where they seem to, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from collab_asd.config import KEY_FILES
from collab_asd.errors import InputError
from collab_asd.interfaces import Clip


def _is_folder_to_be(path: Path) -> bool:
    return path.is_dir() or not path.exists()


def _is_source(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and path.suffix.lower() == ".csv")


KINDS: dict[str, tuple[str, Callable[[Path], bool]]] = {
    "data-dir": ("a folder of recordings, or a .csv file that lists them", _is_source),
    "encoder-weights": ("a file of weights, or a folder of them", Path.exists),
    **dict.fromkeys((*KEY_FILES, "pseudonym-key-file"), ("a key file", Path.is_file)),
    "agreement": ("the agreement's file", Path.is_file),
    "cache-dir": ("a folder", _is_folder_to_be),
    "results-dir": ("a folder", _is_folder_to_be),
}


def require_plain_paths(node: Mapping[str, object]) -> None:
    """Refuse paths that depend on where a process runs, lead up again, or name another kind of thing.

    Parameters
    ----------
    node : mapping
        The SuperNode's configuration; a path that is absent or empty names nothing.

    Raises
    ------
    InputError
        Names the key.
    """
    for key, (kind, fits) in KINDS.items():
        value = node.get(key, "")
        if not isinstance(value, str) or "\0" in value:
            raise InputError(f"node config: {key} = {value!r}: is no path")
        path = Path(value)
        if value and (not path.is_absolute() or ".." in path.parts):
            raise InputError(f"node config: {key} = {value}: write the whole path from the root on, without .. and ~")
        if value and not fits(path):
            raise InputError(f"node config: {key} = {value}: is not {kind}, or cannot be read")


def require_within(clips: Sequence[Clip], data_dir: Path) -> None:
    """Refuse recordings of a folder that are links to somewhere else; a table may name any file.

    Raises
    ------
    InputError
        Names the first.
    """
    if data_dir.is_file():
        return
    root = data_dir.resolve()
    for clip in clips:
        if not clip.path.resolve().is_relative_to(root):
            raise InputError(
                f"{clip.path}: is a link to {clip.path.resolve()}, outside of data-dir; copy the recording, or list "
                "what is meant in a .csv file"
            )
