"""How a server is asked for a file: with patience, but not for hours, and with words for what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.util.retry import Retry

TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
RETRIES = 4
PAUSE = 1.0  # seconds before the second new attempt; doubles with each
LONGEST_PAUSE = 120  # seconds, whatever a server asks for
PASSING = (429, 500, 502, 503, 504)  # HTTP statuses worth a new attempt


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
