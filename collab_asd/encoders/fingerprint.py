"""What is known of a file of weights: a hash that is pinned in the source, or the one that its first download had.

The first download is recorded in ``<name>.json`` beside the file, which goes with it onto a stick. What nobody can
vouch for is said in every result that was made with it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from collab_asd.atomic import replacing
from collab_asd.errors import InputError
from collab_asd.transfer.checksums import Checksums

if TYPE_CHECKING:
    from collab_asd.encoders.weights import WeightSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """Size in bytes and SHA-256 (hex) that a file must have, None where unknown, and in words who says so."""

    size: int | None
    sha256: str | None
    origin: str


def known(source: WeightSource, file: Path) -> Known:
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
    if record_of(file).is_file() and checksums.hexdigest(file, "sha256") == known(source, file).sha256:
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
