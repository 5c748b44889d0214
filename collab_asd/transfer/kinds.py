"""What a file is, by how it begins: a proxy's login page is no file of weights, whatever it is called."""

from __future__ import annotations

from pathlib import Path

PAGES = (b"<!doctype", b"<html", b"<?xml")

# How files of a kind begin. PyTorch writes a zip, and wrote a pickle of protocol 2 before version 1.6.
SIGNATURES: dict[str, tuple[bytes, ...]] = {
    ".h5": (b"\x89HDF\r\n\x1a\n",),
    ".gz": (b"\x1f\x8b",),
    ".pt": (b"PK\x03\x04", b"\x80\x02"),
    ".pth": (b"PK\x03\x04", b"\x80\x02"),
}


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
