"""Arrays by name, as safetensors keep them: a prefix says whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray


def part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, under what is left of their names.

    Examples
    --------
    >>> part({"codec/mean": 1, "f_s/mean": 2}, "codec/")
    {'mean': 1}
    """
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
