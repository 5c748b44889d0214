"""Download a benchmark into a data folder, one zip after the other: fetch, verify, unpack, write down, delete the zip.

What is interrupted at any point goes on from there when it is started again; what is complete is neither asked for nor
read again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from filelock import FileLock, Timeout

from collab_asd.core.checksums import Checksums
from collab_asd.core.errors import InputError
from collab_asd.core.transfer import RESUME, RemoteFile, TransferError, difference, fetch, open_session
from collab_asd.data.download import plan as done
from collab_asd.data.download.dcase import Archive
from collab_asd.data.download.plan import API, WORK, Plan, Source, Step, make
from collab_asd.data.download.unpack import ArchiveError, disk_errors_explained, extract, require_space

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What is in a data folder after a download: what is new, what was there, and all of it counted.

    Parameters
    ----------
    plan : Plan
        As carried out.
    recordings : int
        Of all zips that were asked for.
    not_verified : tuple of str
        Names of zips whose published MD5 was not to be had, now or when they were unpacked.
    """

    plan: Plan
    recordings: int
    not_verified: tuple[str, ...]


def prepare(folder: Path, archives: list[Archive], source: Source, api: str = API) -> Plan:
    """Find out what there is to do, and change nothing.

    Raises
    ------
    InputError
        As `plan.make`.
    """
    with open_session() as session, disk_errors_explained(folder):
        return make(folder, archives, source, session, api)


def download(
    folder: Path,
    archives: list[Archive],
    source: Source,
    keep_zips: bool = False,
    api: str = API,
) -> Outcome:
    """Bring all recordings of some zips into a data folder.

    Parameters
    ----------
    folder : Path
        Data folder; made if it does not exist. Afterwards it has the layout of `collab_asd.data.layouts.dcase`.
    archives : list of Archive
    source : Source
    keep_zips : bool
        Leave downloaded zips in the hidden folder ``.download``.
    api : str
        Base URL of Zenodo's API.

    Raises
    ------
    InputError
        If another download works in the folder, the disk is too small, or a zip cannot be had, is not the published one
        or is not to be trusted. All that was complete before stays.
    """
    with disk_errors_explained(folder), _alone(folder), open_session() as session:
        plan = make(folder, archives, source, session, api)
        for note in plan.notes:
            log.warning("%s", note)
        require_space(folder, plan.needed(keep_zips))
        for step in plan.steps:
            _carry_out(step, plan, keep_zips, session)
        entries = {archive.name: done.read(folder)[archive.name] for archive in archives}
    not_verified = tuple(name for name, entry in entries.items() if entry.md5 is None)
    return Outcome(plan, sum(sum(entry.recordings.values()) for entry in entries.values()), not_verified)


def _carry_out(step: Step, plan: Plan, keep_zips: bool, session: requests.Session) -> None:
    checksums = Checksums(plan.work / "verified.json")
    path = _checked(step, step.local, checksums) if step.local else _fetched(step.remote, plan.work, session, checksums)
    try:
        recordings = extract(path, step.archive.machine_type, plan.work, plan.folder)
    except ArchiveError as error:
        if step.local:
            raise InputError(f"{error}; replace the file by the one from {step.archive.page}") from error
        path.unlink()  # or the same command would meet it again
        raise InputError(f"{error}; it is deleted, and the same command downloads it again") from error
    done.add(plan.folder, step.archive.name, done.Unpacked(step.remote.md5, recordings))
    if not (step.local or keep_zips):
        path.unlink()


def _fetched(file: RemoteFile, folder: Path, session: requests.Session, checksums: Checksums) -> Path:
    try:
        return fetch(file, folder, session, checksums)
    except TransferError as error:
        raise InputError(f"{error}, or choose another source with --mirror or --from") from error


def _checked(step: Step, local: Path, checksums: Checksums) -> Path:
    wrong = difference(step.remote, local, checksums)
    if wrong:
        raise InputError(f"{local}: {wrong}; replace it by the one from {step.archive.page}, then {RESUME}")
    return local


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    (folder / WORK).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / WORK / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{folder}: another download works in this folder; wait until it ends") from error
    try:
        yield
    finally:
        lock.release()
