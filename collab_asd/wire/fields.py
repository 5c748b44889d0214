"""What the fields of a message may be: one table for each message, and one check for all that another party sends.

Whoever receives a message says by `Numbers` and `Value` what each of its fields is; `require` refuses all else with a
`ValueError`, before anything is computed from it. What fields say together (whether a matrix can be one, whether two
counts agree) the methods check behind it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collab_asd.core.terminal import printable, shortened

MOST_NUMBERS = 2**31 - 1
LARGEST = 1e30
"""No number of ours is larger, and squares and sums of thousands such stay finite in double precision."""
MOST_CLIPS = 1_000_000
"""Of one client."""
MOST_MACHINES = 4096
"""Of one client, and so in a group of a simulation."""
MOST_FRAMES = 2**20
"""In one clip: nine hours at 32 ms."""
MOST_CLIP_BYTES = 2**28
"""Of the decoded frames of one clip: whoever decodes one knows before what it takes."""
MOST_DIMENSIONS = 2**16
MOST_WINDOW = 2**19
"""Numbers in one window of the ID classifier; the largest of ours has 196,608."""
SPREAD = 1e9
"""No mean or standard deviation of an embedding is larger."""


@dataclass(frozen=True)
class Numbers:
    """An array of a message.

    Parameters
    ----------
    kind : str
        NumPy's name of its type.
    shape : tuple of (int or None)
        None: of any length.
    low, high : float
        No number is less, or more; each is finite.
    """

    kind: str
    shape: tuple[int | None, ...] = ()
    low: float = -LARGEST
    high: float = LARGEST

    def require(self, name: str, array: NDArray[Any]) -> None:
        """Refuse an array that is not this.

        Raises
        ------
        ValueError
            Says what is wrong, without any of its numbers.
        """
        fits = len(self.shape) == array.ndim and all(
            wanted in (None, size) for wanted, size in zip(self.shape, array.shape, strict=True)
        )
        if array.dtype != np.dtype(self.kind) or not fits or array.size > MOST_NUMBERS:
            shape = ", ".join("any" if size is None else str(size) for size in self.shape)
            raise ValueError(
                f"its {name} are {shortened(array.dtype)} {array.shape}, not {self.kind} ({shape}): another version's, "
                "or not what was asked for"
            )
        if not array.size:
            return
        smallest, largest = float(array.min()), float(array.max())  # NaN where one is
        if not (math.isfinite(smallest) and math.isfinite(largest)):
            raise ValueError(f"its {name} hold numbers that are not finite")
        if smallest < self.low or largest > self.high:
            raise ValueError(f"its {name} lie outside of {self.low:g} to {self.high:g}")


@dataclass(frozen=True)
class Value:
    """A number, a text or a list of whole numbers of a message.

    Parameters
    ----------
    kind : type
        ``int``, ``float``, ``str``, ``bool``, or ``list`` of int.
    low, high : float
        Of numbers.
    most : int
        Characters of a text, or numbers of a list.
    is_path : bool
        Whether a text may hold control characters: names of files and folders, and so of machines, may.
    """

    kind: type
    low: float = -LARGEST
    high: float = LARGEST
    most: int = 200
    is_path: bool = False

    def require(self, name: str, value: object) -> None:
        """Refuse a value that is not this.

        Raises
        ------
        ValueError
            Says what is wrong.
        """
        if type(value) is not self.kind:
            raise ValueError(f"its {name} is {type(value).__name__}, not {self.kind.__name__}: another version's")
        if isinstance(value, str | list) and len(value) > self.most:
            raise ValueError(f"its {name} is too long ({len(value):,}, and {self.most:,} is the most)")
        if isinstance(value, str) and not self.is_path and printable(value) != value:
            raise ValueError(f"its {name} holds control characters")
        numbers = value if isinstance(value, list) else [value] if isinstance(value, int | float) else []
        if any(type(number) is not int for number in numbers) and self.kind is list:
            raise ValueError(f"its {name} holds something else than whole numbers")
        if any(not math.isfinite(number) or not self.low <= number <= self.high for number in numbers):
            raise ValueError(f"its {name} is {shortened(value)}, outside of {self.low:g} to {self.high:g}")


def require(fields: Mapping[str, Numbers] | Mapping[str, Value], found: Mapping[str, Any]) -> None:
    """Refuse fields that are not those which are expected, each once.

    Raises
    ------
    ValueError
        Names the first that is missing, not known, or wrong.
    """
    for name in fields:
        if name not in found:
            raise ValueError(f"its answer lacks {name}: another version's")
    if (unknown := next((name for name in found if name not in fields), None)) is not None:
        raise ValueError(f"its answer holds {shortened(unknown)}, which nobody asked for: another version's")
    for name, field in fields.items():
        field.require(name, found[name])


NEVER_NEGATIVE = ("running_var", "num_batches_tracked", "exp_avg_sq", "step")


def fields_like(arrays: Mapping[str, NDArray[Any]], most: float = 1e6) -> dict[str, Numbers]:
    """Return what arrays of the names, types and shapes of others may be: a model's weights, statistics and moments."""
    return {
        name: Numbers(array.dtype.name, array.shape, 0 if name.endswith(NEVER_NEGATIVE) else -most, most)
        for name, array in arrays.items()
    }


def require_finite(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse arrays that hold something else than finite numbers.

    Raises
    ------
    ValueError
        Names the first.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"{shortened(name)} holds something else than finite numbers")
