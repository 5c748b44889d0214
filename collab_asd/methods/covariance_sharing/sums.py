"""What travels: sums in fixed point, so that neither the order of the clients nor a secure aggregation changes a bit.

A standardised scatter matrix is bounded by what stands behind it: no entry exceeds the degrees of freedom plus 50 for
each machine, because a machine's deviations are held up by its own variance. From that bound over all machines the
server derives one power of two for a run, with which every partial sum fits 32 bits: the upper triangle of 256
dimensions takes 132 kB. Sums of squares travel in 64 bits, 2 kB.

A triangle of integers is symmetric and finite by construction; all else is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log2
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from collab_asd.config import RunConfig
from collab_asd.core.types import ScoreArray
from collab_asd.detection.second_order import DIMENSION, TRIANGLE, VARIANCE_PRIOR, Sums, symmetric
from collab_asd.methods.costs import ARRAY_HEADER, Bytes, Holding, scores_sent
from collab_asd.wire.fields import Numbers, Value, require

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry

Integers = NDArray[np.int64]
SQUARES_BITS = 20
MOST_BITS, FEWEST_BITS = 24, 4
ROOM = 8  # times as much as the first clients need: others may join
LARGEST = 2**31 - 1
MOST_CLIPS = 1000
"""Clips by which a machine contributes, at most: in 256 dimensions more add little, and none can drown the others."""
MOST_MACHINES = 256
"""Of one client in a group, by which it contributes."""
MOST_VARIANCE = 1e4  # dB^2; levels lie between -100 and 60 dB
FACTS = {"machines": Value(int, 0, 2**31 - 1), "dof": Value(int, 0, 2**40)}
ARRAYS = {
    "squares": Numbers("int64", (DIMENSION,), 0, 2**62),
    "scatter": Numbers("int32", (len(TRIANGLE[0]),)),
}
"""What a `Part` is when it travels, of one client or of all."""
NOTHING: Mapping[str, Value] = {}
SAID_OF_ALL = {
    "bits": Value(int, FEWEST_BITS, MOST_BITS),
    "squares-dof": Value(int, 0, 2**40),
    "is-included": Value(bool),
}
"""What the server says of the sums beside."""


def to_fixed(values: ScoreArray, bits: int) -> Integers:
    """Round to multiples of ``2**-bits`` -> integers."""
    return np.asarray(np.rint(values * 2.0**bits), np.int64)


def bits_of(machines: int, dof: int) -> int:
    """Return the bits behind the point with which the sum over a group fits 32 bits, and that of eight times as many.

    Raises
    ------
    ValueError
        It would have none left.
    """
    bits = min(MOST_BITS, floor(log2(LARGEST / (ROOM * bound(machines, dof)))))
    if bits < FEWEST_BITS:
        raise ValueError(f"{machines} machines with {dof} degrees of freedom are too many for sums in 32 bits")
    return bits


def bound(machines: int, dof: int) -> float:
    """Return what no entry of a sum of standardised scatter matrices exceeds."""
    return dof + VARIANCE_PRIOR * machines


@dataclass(frozen=True)
class Part:
    """What some machines of a group add up, of one client or of all.

    Parameters
    ----------
    machines, dof : int
        How many machines, and their clips less one each.
    squares : Integers
        ``[256]``: diagonals of their scatter matrices in dB^2, in units of ``2**-20``.
    scatter : Integers or None
        ``[32896]``: upper triangle of their standardised scatter matrices, in units of ``2**-bits``.
    """

    machines: int
    dof: int
    squares: Integers
    scatter: Integers | None = None

    def __add__(self, other: Part) -> Part:
        return self._combined(other, 1)

    def __sub__(self, other: Part) -> Part:
        return self._combined(other, -1)

    def _combined(self, other: Part, sign: int) -> Part:
        def together(a: Integers | None, b: Integers | None) -> Integers | None:
            return None if a is None or b is None else a + sign * b

        squares = self.squares + sign * other.squares
        return Part(
            self.machines + sign * other.machines,
            self.dof + sign * other.dof,
            squares,
            together(self.scatter, other.scatter),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What is sent beside the arrays."""
        return {"machines": self.machines, "dof": self.dof}

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is sent: sums of squares in 64 bits, the matrix in 32."""
        matrix = {} if self.scatter is None else {"scatter": self.scatter.astype(np.int32)}
        return {"squares": self.squares, **matrix}

    def to_sums(self, bits: int) -> Sums:
        """Return the same in floating point."""
        matrix = np.zeros((DIMENSION, DIMENSION))
        if self.scatter is not None:
            matrix = symmetric(np.asarray(self.scatter * 2.0**-bits, np.float64))
        return Sums(self.dof, np.asarray(self.squares * 2.0**-SQUARES_BITS, np.float64), matrix)


def total(parts: Iterable[Part]) -> Part:
    """Add parts up.

    Raises
    ------
    ValueError
        A sum does not fit 32 bits.
    """
    first, *others = parts
    for part in others:
        first = first + part
    if first.scatter is not None and np.abs(first.scatter).max() > LARGEST:
        raise ValueError("the sum of the matrices does not fit 32 bits")
    return first


def read_part(
    facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], others: Mapping[str, Value] = NOTHING
) -> Part:
    """Read what `Part.facts` and `Part.arrays` have laid out; `others` is what may stand beside the facts.

    Raises
    ------
    ValueError
        Something is missing, or of another type.
    """
    require({**FACTS, **others}, facts)
    require({name: ARRAYS[name] for name in ARRAYS if name != "scatter" or name in arrays}, arrays)
    wide = {name: array.astype(np.int64) for name, array in arrays.items()}
    return Part(facts["machines"], facts["dof"], wide["squares"], wide.get("scatter"))


def require_valid_variances(part: Part) -> None:
    """Refuse sums of squares that no machines can have.

    Raises
    ------
    ValueError
        Says why.
    """
    if not 1 <= part.machines <= MOST_MACHINES:
        raise ValueError(f"it says that it has {part.machines} machines in a group; at most {MOST_MACHINES} are added")
    if not part.machines <= part.dof <= part.machines * (MOST_CLIPS - 1):
        raise ValueError(
            f"it contributes {part.dof} degrees of freedom from {part.machines} machines; a machine may contribute 1 "
            f"to {MOST_CLIPS - 1}"
        )
    if part.squares.min() < 0 or part.squares.max() > part.dof * MOST_VARIANCE * 2.0**SQUARES_BITS:
        raise ValueError(f"its variances are negative, or above {MOST_VARIANCE:g} dB^2")


def require_valid_scatter(part: Part, announced: Part, bits: int) -> None:
    """Refuse a matrix that is no sum of standardised scatter matrices, or of other machines than were announced.

    Raises
    ------
    ValueError
        Says why.
    """
    if (part.machines, part.dof) != (announced.machines, announced.dof) or part.scatter is None:
        raise ValueError("its matrix is missing, or of other clips than it announced")
    if not np.array_equal(part.squares, announced.squares):
        raise ValueError("its matrix is of other clips than it announced")
    matrix, rounding = part.to_sums(bits).scatter, part.machines * 2.0**-bits
    if (largest := np.abs(matrix).max()) > bound(part.machines, part.dof) + rounding:
        raise ValueError(f"its matrix holds {largest:.4g}, and {bound(part.machines, part.dof):.4g} is the most")
    if (smallest := float(np.linalg.eigvalsh(matrix)[0])) < -DIMENSION * rounding:
        raise ValueError(f"its matrix is not positive semidefinite (smallest eigenvalue {smallest:.3g})")


def describe_costs(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Bytes:
    """Count two sums up, and what is known of them with each question down."""
    squares, matrix = 8 * DIMENSION, 4 * len(TRIANGLE[0])
    pairs = len({(holding.client, holding.group) for holding in holdings})
    up, down = 2 * squares + matrix + 3 * ARRAY_HEADER, 2 * squares + matrix + 3 * ARRAY_HEADER
    return scores_sent(holdings) + Bytes(pairs * up, pairs * down)
