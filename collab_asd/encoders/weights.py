"""Where a pre-trained weights file comes from: the user's path, the cache, or a download that is verified.

The authors of a network do not always publish a hash. Then the first download is recorded beside the file, and the file
must stay the same ever after: two results with one encoder's name were made with one set of weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

from filelock import FileLock

from collab_asd.atomic import replacing
from collab_asd.errors import InputError
from collab_asd.paths import cache_dir as default_cache_dir

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 20  # bytes
CHECKPOINT = (b"PK\x03\x04", b"\x80\x02")  # PyTorch writes a zip since version 1.6, before it was a pickle
SIGNATURES = {  # how a file of this kind begins
    ".h5": (b"\x89HDF\r\n\x1a\n",),
    ".pth": CHECKPOINT,
    ".pt": CHECKPOINT,
}


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
        Official hash (hex), None where none is known.
    """

    name: str
    url: str
    filename: str
    licence: str
    citation: str
    sha256: str | None = None


def resolve(source: WeightSource, path: Path | None = None, cache_dir: Path | None = None) -> Path:
    """Find the weights file of a network, downloading it on first use.

    Parameters
    ----------
    source : WeightSource
    path : Path or None
        The user's own file; it wins, and its content is the user's choice.
    cache_dir : Path or None
        Cache folder, in whose subfolder ``weights`` downloads are kept; by default the user's.

    Raises
    ------
    InputError
        When the path is no file, the download fails or gives something else than weights, or the file is not the one
        of the official or recorded hash.
    """
    if path is not None:
        if not path.is_file():
            raise InputError(f"{path}: no such file; --weights must name a file of {source.name} weights")
        return path
    file = (cache_dir or default_cache_dir("")) / "weights" / source.filename
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            if file.is_file():
                _verify(source, file, file)
            else:
                _download(source, file)
    except OSError as error:
        raise InputError(f"{file}: cannot be kept there ({error}); choose another folder with cache-dir") from error
    return file


def _download(source: WeightSource, file: Path) -> None:
    log.info("Downloading %s weights (%s) from %s to %s", source.name, source.licence, source.url, file)
    with replacing(file) as part:
        try:
            _stream(source.url, part)
        except (OSError, HTTPException, ValueError) as error:
            raise InputError(f"{source.url}: download failed ({error}); {_by_hand(source)}") from error
        part.flush()
        _require_signature(source, Path(part.name))
        _verify(source, file, Path(part.name))


def _stream(url: str, part: BinaryIO) -> None:
    """Copy what an address gives into a file, and make sure that all of it came."""
    with urlopen(url, timeout=TIMEOUT) as response:
        promised = response.headers.get("Content-Length")
        while chunk := response.read(CHUNK):
            part.write(chunk)
    if promised is not None and part.tell() != int(promised):
        raise ValueError(f"truncated: expected {promised} bytes, found {part.tell()}")


def _require_signature(source: WeightSource, part: Path) -> None:
    """Refuse what is no weights file before its hash is recorded."""
    with part.open("rb") as file:
        start = file.read(32)
    suffix = Path(source.filename).suffix
    if not start.startswith(SIGNATURES.get(suffix, (b"",))):
        raise InputError(
            f"{source.url}: expected a {suffix} file, found one that begins with {start!r}, perhaps a proxy's login "
            f"page; {_by_hand(source)}"
        )


def _verify(source: WeightSource, file: Path, content: Path) -> None:
    """Compare a file, or the download that is to take its place, with the official hash or with the first one seen."""
    with content.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    record = file.with_name(f"{file.name}.json")
    if source.sha256 is not None:
        expected, origin, remedy = source.sha256, "published", f"delete {file} and start again, or {_by_hand(source)}"
    elif record.is_file():
        expected, when = _recorded(record)
        origin = f"recorded on {when}"
        remedy = f"bring the old file back, or delete {file} and {record} to accept the new one"
    else:
        _record(source, record, found, content.stat().st_size)
        return
    if found != expected:
        raise InputError(f"{file}: expected SHA-256 {expected} ({origin}), found {found}; {remedy}")


def _record(source: WeightSource, record: Path, sha256: str, size: int) -> None:
    seen = {"url": source.url, "sha256": sha256, "size": size, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    log.info("No hash of %s is published; recording SHA-256 %s in %s", source.filename, sha256, record)
    with replacing(record) as file:
        file.write(json.dumps(seen, indent=2).encode())


def _recorded(record: Path) -> tuple[str, str]:
    """Return hash and date of the first download."""
    try:
        seen = json.loads(record.read_bytes())
        return str(seen["sha256"]), str(seen["date"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record}: expected a record of a download, found something else; delete it") from error


def _by_hand(source: WeightSource) -> str:
    return f"download {source.url} by hand and name the file with --weights"
