"""Where a pre-trained weights file comes from: the user's path, the cache, or a download that is verified.

The authors of a network do not always publish a hash. Then the first download is written down beside the file, and the
file must stay the same ever after: two results with one encoder's name were made with one set of weights.
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

import platformdirs
from filelock import FileLock

from collab_asd.encoders.atomic import replacing
from collab_asd.errors import InputError

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 20  # bytes
SIGNATURES = {".h5": b"\x89HDF\r\n\x1a\n"}  # how a file of this kind begins


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
        What the file is called in the cache; the suffix says what kind it is.
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


def default_cache_dir() -> Path:
    """Folder of downloaded weights when the user names none."""
    return platformdirs.user_cache_path("collab-asd") / "weights"


def resolve(source: WeightSource, path: Path | None = None, cache_dir: Path | None = None) -> Path:
    """Find the weights file of a network, downloading it on first use.

    Parameters
    ----------
    source : WeightSource
    path : Path or None
        The user's own file; it wins, and its content is the user's affair.
    cache_dir : Path or None
        Folder of downloaded weights, by default in the user's cache folder.

    Raises
    ------
    InputError
        When the path is no file, the download fails or gives something else than weights, or the file is not the one
        of the official or recorded hash.
    """
    if path is not None:
        if not path.is_file():
            raise InputError(f"{path}: no such file; --weights must name the {source.name} weights ({source.filename}).")
        return path
    file = (cache_dir or default_cache_dir()) / source.filename
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            if not file.is_file():
                _download(source, file)
            _verify(source, file, file)
    except OSError as error:
        raise InputError(f"{file}: cannot be kept in the cache ({error}); choose another folder with cache-dir.") from error
    return file


def _download(source: WeightSource, file: Path) -> None:
    log.info("Downloading %s weights from %s to %s (%s)", source.name, source.url, file, source.licence)
    with replacing(file) as part:
        try:
            _stream(source.url, part)
        except (OSError, HTTPException, ValueError) as error:
            raise InputError(f"{source.url}: download failed ({error}). {_by_hand(source)}") from error
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
        raise ValueError(f"expected {promised} bytes, found {part.tell()}")


def _require_signature(source: WeightSource, part: Path) -> None:
    signature = SIGNATURES.get(Path(source.filename).suffix, b"")
    start = part.open("rb").read(64)
    if not start.startswith(signature):
        raise InputError(
            f"{source.url}: expected the weights {source.filename}, found something that begins with {start!r} "
            f"(a proxy's login page?). {_by_hand(source)}"
        )
