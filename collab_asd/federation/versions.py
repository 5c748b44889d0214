"""Which version of the program, and of what travels, the two sides of a federation have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collab_asd import __version__
from collab_asd.errors import PublicError

PROTOCOL = 2
"""Counts changes after which messages are understood no more by the version before."""


def own_versions() -> dict[str, Any]:
    """Return what each side tells the other when they meet."""
    return {"version": __version__, "protocol": PROTOCOL}


def require_same_version(other: Mapping[str, object], who: str) -> None:
    """Refuse a side that runs another version.

    Parameters
    ----------
    other : mapping
        What it said of itself.
    who : str
        ``"the server"``, ``"client 2"``.

    Raises
    ------
    PublicError
        Names both versions.
    """
    mine = own_versions()
    theirs = {name: other.get(name, "unknown") for name in mine}
    if theirs != mine:
        raise PublicError(
            f"{who} runs collab-asd {theirs['version']} (protocol {theirs['protocol']}), and this side "
            f"{mine['version']} (protocol {mine['protocol']}): install the same version on both"
        )
