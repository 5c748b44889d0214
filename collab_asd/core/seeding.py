"""Randomness: seeds for each purpose from the seed of the run, and numbers from a secret that is kept in a file.

Numbers that are drawn from a secret are the same on every machine and in every version.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from collab_asd.core.errors import InputError


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed that is a pure function of the run's seed and of what it is for.

    Examples
    --------
    >>> derive(0, "id-classifier", 1) == derive(0, "id-classifier", 1)
    True
    >>> derive(0, "id-classifier", 1) == derive(0, "id-classifier", 2)
    False
    """
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


KEY_BYTES = 16  # at least


def read_key(path: Path, what: str) -> bytes:
    """Read a secret key: all bytes of a file, 16 at least.

    Parameters
    ----------
    path : Path
    what : str
        Name of the key in messages.

    Raises
    ------
    InputError
        The file is missing, cannot be read or is too short.
    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{what} {path}: {error.strerror}; get the one that the clients share, or make one with "
            "`head -c 32 /dev/urandom`"
        ) from error
    return _long_enough(key, f"{what} {path}", "make one with `head -c 32 /dev/urandom`")


def _long_enough(key: bytes, what: str, advice: str) -> bytes:
    if len(key) < KEY_BYTES:
        raise InputError(f"{what} has {len(key)} bytes and needs {KEY_BYTES}: {advice}")
    return key


def kept_key(path: Path) -> bytes:
    """Read a secret key of this machine alone; the first time, draw it and write it where only its owner can read it.

    Raises
    ------
    InputError
        The file cannot be read or written, or is too short.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as file:
                file.write(secrets.token_bytes(2 * KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileExistsError):  # another process was faster
                    os.link(file.name, path)
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read or written ({error.strerror}); this node's own secret key lies there: let its "
            "user read and write the folder"
        ) from error
    return _long_enough(key, str(path), "delete it, and another key is drawn")


def keyed_hash(key: bytes, purpose: str, *parts: bytes) -> bytes:
    """Return 32 bytes that follow from a key, a purpose and some parts, and from which the key does not follow.

    HMAC-SHA-256 of the hashes of purpose and parts (H. Krawczyk et al., RFC 2104).
    """
    hashes = (hashlib.sha256(part).digest() for part in (purpose.encode(), *parts))
    return hmac.digest(key, b"".join(hashes), "sha256")


def gaussian(seed: bytes, count: int) -> NDArray[np.float64]:
    """Draw `count` standard normal numbers from a seed.

    SHAKE-256 of the seed gives little-endian 32-bit words w, u = (w + 1/2) / 2**32 lies inside (0, 1), and the
    Box-Muller transform makes two normal numbers of two u: the first half of the words are the radii, the second half
    the angles, and all cosines come before all sines.
    """
    pairs = -(-count // 2)
    stream = hashlib.shake_256(seed).digest(8 * pairs)
    uniform = (np.frombuffer(stream, dtype="<u4").astype(np.float64) + 0.5) / 2.0**32
    radius, angle = np.sqrt(-2.0 * np.log(uniform[:pairs])), 2.0 * np.pi * uniform[pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
