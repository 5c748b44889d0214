"""Before the first byte: what is missing, where each zip comes from, and the space it will take.

What a Zenodo record holds, its API tells: names, sizes and checksums. What of a benchmark is complete in a data folder,
the hidden file ``.downloaded.json`` in it tells. Zenodo answers ``GET /api/records/<id>`` in one of two shapes: its
own, where ``files`` is a list, and that of its software InvenioRDM, where ``files`` has ``entries`` (a dictionary by
name, or a list). A file's bytes are behind ``links.content`` or, where there is none, ``links.self``.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.transfer import TIMEOUT, RemoteFile, reason
from collab_asd.data.download.dcase import Archive
from collab_asd.data.download.unpack import DAMAGE

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


API = "https://zenodo.org/api"

MD5 = re.compile(r"(?:md5:)?([0-9a-f]{32})")


class RecordError(InputError):
    """A record's API cannot be asked, or its answer makes no sense."""


def list_files(session: requests.Session, record: int, api: str = API) -> dict[str, RemoteFile]:
    """Ask a record's API for its files.

    Parameters
    ----------
    session : requests.Session
    record : int
        Number of the record.
    api : str
        Base URL of the API.

    Returns
    -------
    dict of str to RemoteFile
        By name; with size and MD5.

    Raises
    ------
    RecordError
        If nobody answers, or not with a list of files.
    """
    url = f"{api}/records/{record}"
    try:
        with session.get(url, timeout=TIMEOUT) as response:
            response.raise_for_status()
            answer = response.json()
        found = [_file(entry) for entry in _entries(answer)]
    except requests.JSONDecodeError as error:
        raise _unusable(url, "it answers with something else than JSON, perhaps a web page") from error
    except requests.RequestException as error:
        raise _unusable(url, reason(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unusable(url, f"its answer has an unknown form: {error!r}") from error
    return {file.name: file for file in found}


def _entries(answer: Any) -> list[Mapping[str, Any]]:
    files = answer["files"]
    if isinstance(files, dict):
        files = files["entries"]
    return list(files.values() if isinstance(files, dict) else files)


def _file(entry: Mapping[str, Any]) -> RemoteFile:
    links = entry["links"]
    checksum = MD5.fullmatch(entry["checksum"])
    if checksum is None:
        raise ValueError(f"{entry['checksum']} is no MD5")
    return RemoteFile(str(entry["key"]), str(links.get("content") or links["self"]), int(entry["size"]), checksum[1])


def _unusable(url: str, why: str) -> RecordError:
    return RecordError(f"{url}: the list of files cannot be had ({why})")


WORK = ".download"  # folder in the data folder for what is unfinished; readers of data folders overlook hidden ones
EXPANSION = 1.5  # recordings per byte of zip, reckoned generously; the real zips expand about 1.25 times
OTHERWISE = "try again later, or name a folder of the zips with --from or a mirror with --mirror"


@dataclass(frozen=True)
class Source:
    """Where zips come from: Zenodo, unless a mirror or a folder is given.

    Parameters
    ----------
    mirror : str
        Base URL; a zip is at ``<mirror>/<name of the zip>``.
    folder : Path or None
        Folder that holds the zips. They are read and left as they are.

    Raises
    ------
    InputError
        If both are given, the mirror is no web address or the folder does not exist.
    """

    mirror: str = ""
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.mirror and self.folder:
            raise InputError("--mirror and --from exclude each other: name one source")
        if self.mirror and not self.mirror.startswith(("http://", "https://")):
            raise InputError(f"--mirror {self.mirror!r}: expected an address that begins with https:// or http://")
        if self.folder and not self.folder.is_dir():
            raise InputError(f"--from {self.folder}: no such folder; name the one that holds the zips")


@dataclass(frozen=True)
class Step:
    """A zip that is missing from the data folder, and either its place on a server or on this disk."""

    archive: Archive
    remote: RemoteFile
    local: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What has to be done for a data folder.

    Parameters
    ----------
    folder : Path
        Data folder.
    steps : tuple of Step
        In order.
    complete : tuple of Archive
        What was asked for and is there already.
    notes : tuple of str
        What the user should know.
    """

    folder: Path
    steps: tuple[Step, ...]
    complete: tuple[Archive, ...]
    notes: tuple[str, ...]

    @property
    def work(self) -> Path:
        """Folder for what is unfinished."""
        return self.folder / WORK

    def needed(self, keep_zips: bool) -> int:
        """Bytes that have to be free: for all recordings, and for all zips that are kept or the largest that is not."""
        zips = [max(0, _size(step) - self._there(step)) for step in self.steps if not step.local]
        return sum(map(_unpacked, self.steps)) + (sum(zips) if keep_zips else max(zips, default=0))

    def _there(self, step: Step) -> int:
        """Bytes of a zip that earlier runs left."""
        places = (self.work / step.archive.name, self.work / f"{step.archive.name}.part")
        return sum(place.stat().st_size for place in places if place.exists())


def make(folder: Path, archives: list[Archive], source: Source, session: requests.Session, api: str) -> Plan:
    """Find out what is missing and where it is to be had; records are only asked if anything is.

    Raises
    ------
    InputError
        If a record or the folder of zips lacks a zip, or a record cannot be asked and there is no other source.
    """
    there = read(folder)
    missing = [archive for archive in archives if archive.name not in there]
    for archive in missing:
        _require_local(archive, source)
    listings: dict[int, dict[str, RemoteFile]] = {}
    notes = []
    for number in dict.fromkeys(archive.record for archive in missing):
        try:
            listings[number] = list_files(session, number, api)
        except RecordError as error:
            if not (source.mirror or source.folder):
                raise InputError(f"{error}; {OTHERWISE}") from error
            notes.append(f"not verified against the published MD5s, only by the zips' own CRCs: {error}")
    steps = tuple(_step(archive, source, listings.get(archive.record), api) for archive in missing)
    return Plan(folder, steps, tuple(archive for archive in archives if archive not in missing), tuple(notes))


def _step(archive: Archive, source: Source, listing: dict[str, RemoteFile] | None, api: str) -> Step:
    if listing is not None and archive.name not in listing:
        raise InputError(f"{api}/records/{archive.record}: the record lacks {archive.name}; see {archive.page}")
    known = listing[archive.name] if listing else RemoteFile(archive.name, "")
    if source.folder:
        return Step(archive, known, source.folder / archive.name)
    url = f"{source.mirror.rstrip('/')}/{archive.name}" if source.mirror else known.url
    return Step(archive, RemoteFile(archive.name, url, known.size, known.md5))


def _require_local(archive: Archive, source: Source) -> None:
    """Look into the folder before anybody is asked: whoever has one is often offline."""
    if source.folder and not (source.folder / archive.name).is_file():
        local = source.folder / archive.name
        raise InputError(f"{local}: no such file; download it from {archive.page}, or leave --from away")


def _size(step: Step) -> int:
    """Bytes of a zip; 0 where a mirror is not asked before the download."""
    return step.local.stat().st_size if step.local else step.remote.size or 0


def _unpacked(step: Step) -> int:
    """Bytes of a zip's recordings: as it declares where it is at hand, reckoned where it is not."""
    if step.local:
        with suppress(*DAMAGE), zipfile.ZipFile(step.local) as opened:  # a damaged zip is refused where it is unpacked
            return sum(member.file_size for member in opened.infolist())
    return int(EXPANSION * _size(step))
