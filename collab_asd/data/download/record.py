"""What a Zenodo record holds: names, sizes and checksums of its files, from its API.

Zenodo answers ``GET /api/records/<id>`` in one of two shapes: its own, where ``files`` is a list, and that of its
software InvenioRDM, where ``files`` has ``entries`` (a dictionary by name, or a list). A file's bytes are behind
``links.content`` or, where there is none, ``links.self``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.util.retry import Retry

from collab_asd.errors import InputError

API = "https://zenodo.org/api"
TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
RETRIES = 4
PAUSE = 1.0  # seconds before the second new attempt; doubles with each
LONGEST_PAUSE = 120  # seconds, whatever a server asks for
PASSING = (429, 500, 502, 503, 504)  # HTTP statuses worth a new attempt

MD5 = re.compile(r"(?:md5:)?([0-9a-f]{32})")


class RecordError(InputError):
    """A record's API cannot be asked, or its answer makes no sense."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server, and what is known of it: bytes and MD5 (hex), None where unknown."""

    name: str
    url: str
    size: int | None = None
    md5: str | None = None


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
