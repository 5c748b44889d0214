"""Randomness from one seed, derived per purpose."""

import hashlib


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
