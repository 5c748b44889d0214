"""The covariances that travel beside embeddings: how the clips of each machine differ among themselves.

A client sends the scatter matrix of each of its machines about the machine's own mean. It gets the mean variances of
the other machines of the group, and their mean covariance, each machine's in units of its own standard deviations. What
that is good for is told by `collab_asd.detection.second_order`; the method ``covariance-sharing`` shares nothing else,
in sums that could be encrypted. Here the server holds embeddings anyway, so one message does. Who holds a recording can
tell from a machine's matrix whether it was among its clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from collab_asd.config import RunConfig
from collab_asd.core.types import FloatArray, MachineFrames, ScoreArray
from collab_asd.detection.scorers import looks_at_spectra
from collab_asd.detection.second_order import (
    TRIANGLE,
    Others,
    Sums,
    add,
    others_from_arrays,
    others_to_arrays,
    scatter,
    standard_deviations,
    symmetric,
    whole_clips,
)
from collab_asd.wire.fields import MOST_CLIPS, Numbers, require

Arrays: TypeAlias = dict[str, NDArray[Any]]
Key = TypeVar("Key")
TOLD = "scatter/"  # in a reply, followed by group and class
LOUDEST = 1e4
"""dB^2: no band of a machine's clips varies by a hundred dB."""
NEGATIVE = 1e-4
"""Of the largest eigenvalue: below lies no rounding of single precision."""


def shares_covariances(config: RunConfig) -> bool:
    """Whether covariances travel beside the embeddings.

    They do not where a defence protects these, no local score looks at spectra, or an earlier run is joined.
    """
    protected = config.noise_epsilon or config.rotation_key_file or config.erase
    return config.share_covariances and looks_at_spectra(config) and not protected and not config.join


@dataclass(frozen=True)
class Scatter:
    """What one machine tells.

    Parameters
    ----------
    dof : int
        Its clips less one.
    triangle : FloatArray
        ``[256 * 257 / 2]``, dB^2: one triangle of the scatter matrix of its clips about their mean.
    """

    dof: int
    triangle: FloatArray

    @property
    def matrix(self) -> ScoreArray:
        """The scatter matrix ``[256, 256]``, made anew: four times as large as its triangle in single precision."""
        return symmetric(self.triangle.astype(np.float64))

    @classmethod
    def of(cls, summaries: Sequence[FloatArray]) -> Self:
        """Compute it from summaries of a machine's normal clips (`ClipSpectrum`)."""
        points = whole_clips(summaries).astype(np.float64)
        return cls(len(points) - 1, scatter(points)[TRIANGLE].astype(np.float32))

    def to_arrays(self) -> Arrays:
        """Lay it out."""
        return {"dof": np.array([self.dof]), "scatter": self.triangle}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read what a client sent.

        Raises
        ------
        ValueError
            It is no scatter matrix of spectra.
        """
        most = LOUDEST * MOST_CLIPS
        require(
            {
                "dof": Numbers("int64", (1,), 1, MOST_CLIPS),
                "scatter": Numbers("float32", TRIANGLE[0].shape, -most, most),
            },
            arrays,
        )
        found = cls(int(arrays["dof"][0]), arrays["scatter"])
        matrix = found.matrix
        values = np.linalg.eigvalsh(matrix)
        if values[0] < -NEGATIVE * max(values[-1], 0.0) or matrix.diagonal().max() > LOUDEST * found.dof:
            raise ValueError("its covariances cannot be: they are not positive semidefinite, or absurdly large")
        return found


class PooledScatters(Generic[Key]):
    """What the machines of a group have told, and what the others say to each of them.

    Matrices are made one at a time, when they are asked for: those of thousands of machines would take gigabytes.

    Parameters
    ----------
    told : mapping of Key to Scatter
        At least one.
    """

    def __init__(self, told: Mapping[Key, Scatter]) -> None:
        self._told, self._dof = told, sum(machine.dof for machine in told.values())
        self._squares = reduce(np.add, (machine.matrix.diagonal() for machine in told.values()))
        self._everyone = reduce(lambda sums, part: add([sums, part]), map(self._part, told))

    def others(self, key: Key) -> Others | None:
        """Return what the others say to a machine; None to one that is alone."""
        return self._everyone.without(self._part(key))

    def _part(self, key: Key) -> Sums:
        """Return what a machine adds to the sums."""
        machine = self._told[key]
        matrix, left = machine.matrix, self._dof - machine.dof
        squares = matrix.diagonal()
        variances = (self._squares - squares) / left if left else None
        deviations = standard_deviations(squares, machine.dof, left, variances)
        return Sums(machine.dof, squares, matrix / np.outer(deviations, deviations))


def others_of_machines(machines: Iterable[MachineFrames]) -> list[Others | None]:
    """Return what the others of its group say to each machine, as sent, in the order given; None without spectra."""
    held = list(machines)
    found: dict[int, Others | None] = {}
    for group in {machine.group for machine in held}:
        members = {
            i: Scatter.of([*machine.spectra.normal, *machine.spectra.calibration])
            for i, machine in enumerate(held)
            if machine.group == group and machine.spectra is not None
        }
        if members:
            pooled = PooledScatters(members)
            found |= {i: pooled.others(i) for i in members}
    said = [found.get(i) for i in range(len(held))]
    return [others and others_from_arrays(others_to_arrays(others)) for others in said]
