"""Before the first byte: what is missing, where each zip comes from, and the space it will take."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from collab_asd.data.download import done, record
from collab_asd.data.download.dcase2020 import Archive
from collab_asd.data.download.extract import DAMAGE
from collab_asd.data.download.record import RecordError
from collab_asd.errors import InputError
from collab_asd.transfer.http import RemoteFile

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
    there = done.read(folder)
    missing = [archive for archive in archives if archive.name not in there]
    for archive in missing:
        _require_local(archive, source)
    listings: dict[int, dict[str, RemoteFile]] = {}
    notes = []
    for number in dict.fromkeys(archive.record for archive in missing):
        try:
            listings[number] = record.list_files(session, number, api)
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
