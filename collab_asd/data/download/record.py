"""What a Zenodo record holds: names, sizes and checksums of its files, from its API.

Zenodo answers ``GET /api/records/<id>`` in one of two shapes: its own, where ``files`` is a list, and that of its
software InvenioRDM, where ``files`` has ``entries`` (a dictionary by name, or a list). A file's bytes are behind
``links.content`` or, where there is none, ``links.self``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import requests

from collab_asd.errors import InputError
from collab_asd.transfer.http import TIMEOUT, RemoteFile, reason

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
