"""Checksums that are computed once: a file of known size and time of change is not read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from collab_asd.core.files import replacing
from collab_asd.core.progress import step

CHUNK = 1 << 20  # bytes
NAMES = {"md5": "MD5", "sha256": "SHA-256"}


class Checksums:
    """MD5 or SHA-256 of files, remembered in a small JSON file.

    Parameters
    ----------
    memory : Path or None
        The JSON file. What cannot be read in it is forgotten: then files are read once more. None remembers nothing.
    """

    def __init__(self, memory: Path | None) -> None:
        self._memory = memory

    def hexdigest(self, path: Path, algorithm: str) -> str:
        """Return the digest of a file by ``"md5"`` or ``"sha256"``, reading it if it changed since the last time."""
        known = self._load().get(_key(path))
        state = _state(path)
        if isinstance(known, dict) and algorithm in known and {key: known.get(key) for key in state} == state:
            return str(known[algorithm])
        found = _read(path, algorithm)
        self._store(self._load() | {_key(path): state | {algorithm: found}})
        return found

    def moved(self, old: Path, new: Path) -> None:
        """Keep what is known of a file that was renamed."""
        seen = self._load()
        if _key(old) in seen:
            self._store(seen | {_key(new): seen[_key(old)]})

    def _load(self) -> dict[str, object]:
        if self._memory is None:
            return {}
        try:
            seen = json.loads(self._memory.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return seen if isinstance(seen, dict) else {}

    def _store(self, seen: dict[str, object]) -> None:
        if self._memory is None:
            return
        kept = {path: known for path, known in seen.items() if Path(path).exists()}
        with replacing(self._memory) as file:
            file.write(json.dumps(kept, indent=2).encode())


def _read(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")  # MD5 is against accidents only
    size = path.stat().st_size
    with path.open("rb") as file, step(f"verifying {path.name}", size, even=True, in_bytes=True) as advance:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def _key(path: Path) -> str:
    return str(path.absolute())


def _state(path: Path) -> dict[str, object]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
