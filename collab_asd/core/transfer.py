"""One file from a server: resumed where it broke off, and right to the last bit or an error.

A server is asked with patience, but not for hours. What a file is shows in how it begins: a proxy's login page is no
file of weights, whatever it is called.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.util.retry import Retry

from collab_asd.core.checksums import NAMES, Checksums
from collab_asd.core.errors import InputError
from collab_asd.core.progress import step

TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
RETRIES = 4
PAUSE = 1.0  # seconds before the second new attempt; doubles with each
LONGEST_PAUSE = 120  # seconds, whatever a server asks for
PASSING = (429, 500, 502, 503, 504)  # HTTP statuses worth a new attempt
PAGES = (b"<!doctype", b"<html", b"<?xml")
# How files of a kind begin. PyTorch writes a zip, and wrote a pickle of protocol 2 before version 1.6.
SIGNATURES: dict[str, tuple[bytes, ...]] = {
    ".h5": (b"\x89HDF\r\n\x1a\n",),
    ".gz": (b"\x1f\x8b",),
    ".pt": (b"PK\x03\x04", b"\x80\x02"),
    ".whl": (b"PK\x03\x04",),
    ".pth": (b"PK\x03\x04", b"\x80\x02"),
}
log = logging.getLogger(__name__)
CHUNK = 1 << 20  # bytes
DOWNLOADS = 2  # of a whole file whose content turns out to be wrong
BREAKS = 4  # of the connection in a row, without a byte gained
RESUME = "the same command resumes"


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server, and what is known of it.

    Parameters
    ----------
    name : str
        What it is called here.
    url : str
    size : int or None
        Bytes; None where unknown.
    md5, sha256 : str or None
        Hex; None where unknown.
    begins : tuple of bytes
        How a file of its kind may begin; empty where anything will do.
    """

    name: str
    url: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    begins: tuple[bytes, ...] = ()


class _Patience(Retry):
    """Wait when a server asks for it, but not for hours."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_PAUSE)


def open_session() -> requests.Session:
    """Return a session that tries again what fails in passing, before the first byte of an answer."""
    session = requests.Session()
    retries = _Patience(total=RETRIES, status_forcelist=PASSING, backoff_factor=PAUSE, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries))
    # Compressed in transit, a file would have neither the promised length nor ranges.
    session.headers.update({"User-Agent": "collab-asd", "Accept-Encoding": "identity"})
    return session


def reason(error: requests.RequestException) -> str:
    """Say in few words why a request failed: the exceptions' own texts are nests of other exceptions."""
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be used"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or it broke"
    return str(error) or type(error).__name__


def signatures(name: str) -> tuple[bytes, ...]:
    """Return how a file of this name may begin; empty where anything will do."""
    return SIGNATURES.get(Path(name).suffix, ())


def misfit(begins: tuple[bytes, ...], start: bytes) -> str:
    """Say what a file is that begins in none of these ways; empty if it begins in one of them.

    Examples
    --------
    >>> misfit(signatures("a.h5"), b"<html><body>Please log in")
    'expected a file of weights, found a web page, perhaps the login page of a proxy'
    """
    if not begins or start.startswith(begins):
        return ""
    if start.lstrip().lower().startswith(PAGES):
        return "expected a file of weights, found a web page, perhaps the login page of a proxy"
    return f"expected a file of weights, found one that begins with {start[:16]!r}"


class TransferError(InputError):
    """A file cannot be had; the message ends with `RESUME`, and who asked for the file may know other ways."""


def fetch(file: RemoteFile, folder: Path, session: requests.Session, checksums: Checksums) -> Path:
    """Download a file into a folder, or what is missing of it, and verify it.

    While it is incomplete it is called ``<name>.part``. A file that lies there already and is right is not asked for.

    Returns
    -------
    Path
        ``<folder>/<name>``. Where ``file.md5`` is None, its content is as the server gave it.

    Raises
    ------
    TransferError
        If the server refuses, the connection breaks again and again, or the content is wrong twice or of another kind.
    """
    path, part = folder / file.name, folder / f"{file.name}.part"
    if path.exists():
        if not difference(file, path, checksums):
            return path
        path.unlink()
    for _ in range(DOWNLOADS):
        _complete(file, part, session)
        wrong = difference(file, part, checksums)
        if not wrong:
            part.replace(path)
            checksums.moved(part, path)
            return path
        part.unlink()
        log.warning("%s: %s; thrown away", file.name, wrong)
    raise TransferError(f"{file.url}: {wrong}, {DOWNLOADS} times; {RESUME}")


def difference(file: RemoteFile, path: Path, checksums: Checksums) -> str:
    """Say in what a file differs from what it should be; empty if in nothing that is known."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"expected {file.size} bytes, found {size}"
    for algorithm, expected in (("md5", file.md5), ("sha256", file.sha256)):
        if expected is not None and (found := checksums.hexdigest(path, algorithm)) != expected:
            return f"expected {NAMES[algorithm]} {expected}, found {found}"
    return ""


def _complete(file: RemoteFile, part: Path, session: requests.Session) -> None:
    """Ask for what is missing until nothing is."""
    if file.size is not None and _size(part) > file.size:
        part.unlink()
    breaks, most = 0, _size(part)
    while file.size is None or _size(part) < file.size:
        try:
            _stream(file, part, session)
            if file.size is None:
                return
            why = "it ended early"
        except requests.RequestException as error:
            why = reason(error)
        breaks = breaks + 1 if _size(part) <= most else 0
        most = max(most, _size(part))
        if breaks == BREAKS:
            size = "an unknown number of" if file.size is None else file.size
            raise TransferError(
                f"{file.url}: the connection broke {BREAKS} times at {_size(part)} of {size} bytes ({why}); {RESUME}"
            )
        if _size(part) != file.size:
            time.sleep(PAUSE * 2**breaks)


def _stream(file: RemoteFile, part: Path, session: requests.Session) -> None:
    """Append what the server gives from the end of the part on; start over where it knows no ranges."""
    have = _size(part)
    with _ask(file, have, session) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable or _is_other_range(response, have):
            part.unlink()
            raise requests.ConnectionError(f"no range from byte {have} on")
        resumes = response.status_code == requests.codes.partial_content
        chunks = response.iter_content(CHUNK)
        first = next(chunks, b"")
        if not resumes and (wrong := misfit(file.begins, first)):  # before it takes the place of what came earlier
            raise TransferError(f"{file.url}: {wrong}; where that is fixed, {RESUME}")
        what, there = f"downloading {file.name}", have if resumes else 0
        with (
            part.open("ab" if resumes else "wb") as out,
            step(what, file.size, done=there, even=True, in_bytes=True) as advance,
        ):
            for chunk in chain([first], chunks):
                out.write(chunk)
                advance(len(chunk))
                if file.size is not None and out.tell() > file.size:
                    return  # of too much, no more is needed to know that it is wrong


def _ask(file: RemoteFile, have: int, session: requests.Session) -> requests.Response:
    try:
        response = session.get(
            file.url, headers={"Range": f"bytes={have}-"} if have else {}, stream=True, timeout=TIMEOUT
        )
        if response.status_code != requests.codes.requested_range_not_satisfiable:
            response.raise_for_status()
    except requests.RequestException as error:
        raise TransferError(f"{file.url}: cannot be downloaded ({reason(error)}); try again later: {RESUME}") from error
    return response


def _is_other_range(response: requests.Response, have: int) -> bool:
    given = response.headers.get("Content-Range", "")
    return response.status_code == requests.codes.partial_content and not given.startswith(f"bytes {have}-")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
