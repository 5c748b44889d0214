"""Partitions as an experiment names them: ``machine``, ``dirichlet-ALPHA``, ``iid``."""

from __future__ import annotations

import math
from typing import Any

from collab_asd.errors import InputError

PREFIX = "dirichlet-"


def partition_settings(name: str) -> dict[str, Any]:
    """Return the configuration keys that a partition's name stands for; none for the empty name.

    Examples
    --------
    >>> partition_settings("dirichlet-0.1")
    {'partition': 'dirichlet', 'dirichlet-alpha': 0.1}

    Raises
    ------
    InputError
        The name stands for nothing.
    """
    if name in ("", "machine", "iid"):
        return {"partition": name} if name else {}
    return {"partition": "dirichlet", "dirichlet-alpha": _alpha(name)}


def evenness(name: str) -> float:
    """Return where a partition stands between one machine each, 0, and IID, infinity."""
    ends = {"machine": 0.0, "iid": math.inf}
    return ends[name] if name in ends else _alpha(name)


def partition_words(name: str) -> str:
    """Return a partition's name as a figure writes it, in two short lines."""
    words = {"machine": "one machine\neach", "iid": "same for all\n(IID)"}
    return words.get(name) or f"Dirichlet\n{_alpha(name):g}"


def _alpha(name: str) -> float:
    try:
        alpha = float(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else 0.0
    except ValueError:
        alpha = 0.0
    if not 0 < alpha < math.inf:
        raise InputError(f"partitions: {name!r} does not exist; write machine, iid or dirichlet-ALPHA (dirichlet-0.5)")
    return alpha
