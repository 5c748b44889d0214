"""The covariances that travel beside embeddings: how the clips of each machine differ among themselves.

A client sends one symmetric matrix for each of its machines, about the machine's own mean, and gets the mean of the
other machines' of the group. What it is good for is told by `collab_asd.detection.second_order`; the method
``covariance-sharing`` shares nothing else, in sums that could be encrypted. Here the server holds embeddings anyway, so
one message does. Who holds a recording can tell from a machine's matrix whether it was among its clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, TypeVar

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
    """Whether covariances travel beside the embeddings: not where these are to be protected, or are not fused."""
    protected = config.noise_epsilon or config.rotation_key_file or config.erase
    return config.share_covariances and looks_at_spectra(config) and not protected and not config.join


@dataclass(frozen=True)
class Scatter:
    """What one machine tells.

    Parameters
    ----------
    dof : int
        Its clips less one.
    matrix : ScoreArray
        ``[256, 256]``, dB^2: scatter of its clips about their mean.
    """

    dof: int
    matrix: ScoreArray

    @classmethod
    def of(cls, summaries: Sequence[FloatArray]) -> Self:
        """Compute it from summaries of a machine's normal clips (`ClipSpectrum`), in single precision, as sent."""
        points = whole_clips(summaries).astype(np.float64)
        return cls(len(points) - 1, scatter(points).astype(np.float32).astype(np.float64))

    def to_arrays(self) -> Arrays:
        """Lay it out: one triangle."""
        return {"dof": np.array([self.dof]), "scatter": self.matrix[TRIANGLE].astype(np.float32)}

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
        dof, matrix = int(arrays["dof"][0]), symmetric(arrays["scatter"].astype(np.float64))
        values = np.linalg.eigvalsh(matrix)
        if values[0] < -NEGATIVE * max(values[-1], 0.0) or matrix.diagonal().max() > LOUDEST * dof:
            raise ValueError("its covariances cannot be: they are not positive semidefinite, or absurdly large")
        return cls(dof, matrix)


def others_of(told: Mapping[Key, Scatter]) -> dict[Key, Others | None]:
    """Return what the other machines of a group say to each one; None to one that is alone."""
    if not told:
        return {}
    squares = {key: machine.matrix.diagonal() for key, machine in told.items()}
    dof, total = sum(machine.dof for machine in told.values()), np.sum(list(squares.values()), axis=0)
    parts = {}
    for key, machine in told.items():
        left = dof - machine.dof
        variances = (total - squares[key]) / left if left else None
        deviations = standard_deviations(squares[key], machine.dof, left, variances)
        parts[key] = Sums(machine.dof, squares[key], machine.matrix / np.outer(deviations, deviations))
    everyone = add(list(parts.values()))
    without = {key: everyone.without(part) for key, part in parts.items()}
    return {key: others and others_from_arrays(others_to_arrays(others)) for key, others in without.items()}  # as sent


def others_of_machines(machines: Iterable[MachineFrames]) -> list[Others | None]:
    """Return what the others of its group say to each machine, in the order given; None without spectra."""
    held = list(machines)
    found: dict[int, Others | None] = {}
    for group in {machine.group for machine in held}:
        members = {
            i: Scatter.of([*machine.spectra.normal, *machine.spectra.calibration])
            for i, machine in enumerate(held)
            if machine.group == group and machine.spectra is not None
        }
        found |= others_of(members)
    return [found.get(i) for i in range(len(held))]
