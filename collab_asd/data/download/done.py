"""What of a benchmark is complete in a data folder, by the hidden file ``.downloaded.json`` in it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from collab_asd.atomic import replacing
from collab_asd.errors import InputError

FILE = ".downloaded.json"


@dataclass(frozen=True)
class Unpacked:
    """A zip whose recordings lie in the data folder.

    Parameters
    ----------
    md5 : str or None
        Of the zip, as published and verified; None where nobody could be asked, and the zip's own CRCs had to do.
    recordings : dict of str to int
        Number of recordings in each folder.
    """

    md5: str | None
    recordings: dict[str, int]


def read(folder: Path) -> dict[str, Unpacked]:
    """Return the complete zips of a data folder, by name; none where nothing was downloaded yet.

    A zip whose recordings were deleted afterwards is not complete.

    Raises
    ------
    InputError
        If the file is not ours.
    """
    path = folder / FILE
    try:
        found = {name: Unpacked(**entry) for name, entry in json.loads(path.read_bytes())["zips"].items()}
        return {name: entry for name, entry in found.items() if _still_there(folder, entry)}
    except FileNotFoundError:
        return {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: expected a list of what was downloaded, found something else; delete it to download again"
        ) from error


def add(folder: Path, name: str, entry: Unpacked) -> None:
    """Write down that a zip is complete."""
    complete = read(folder) | {name: entry}
    with replacing(folder / FILE) as file:
        file.write(json.dumps({"zips": {key: asdict(value) for key, value in complete.items()}}, indent=2).encode())


def _still_there(folder: Path, entry: Unpacked) -> bool:
    return all(
        (folder / place).is_dir() and len(os.listdir(folder / place)) >= count
        for place, count in entry.recordings.items()
    )
