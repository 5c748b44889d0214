"""Erasure of an attribute: what predicts it linearly is taken out of the embeddings.

A client that knows an attribute of its training clips, and would keep it to itself, takes out of its rows x

    r(x) = x - S (S' A S)^+ S' A (x - m),    S = Cov(x, z), A = (Cov(x, x) + c I)^-1, m = mean of x,

z being the attribute's values, one column each. Cov(r(x), z) is zero, so that on these clips no linear function of rows
predicts z better than a constant does; with c = 0 nothing else with that property lies closer to x. A directions' worth
of each value but one is lost. Functions that are not linear (a variance) may still predict z, and clips that it was not
fitted to are protected as far as they are like those.

References
----------
N. Belrose et al., "LEACE: Perfect linear concept erasure in closed form", NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from collab_asd.core.types import FloatArray
from collab_asd.wire.codecs.stages import Rows, Stage

RIDGE = 1e-3  # c, in mean variances of a dimension
RANK = 1e-9  # eigenvalues that are less, against the largest, are nothing


class Erasure(Stage):
    """An affine map that was fitted to tagged clips."""

    learns = ("mean", "readers", "directions")

    @classmethod
    def fitted(cls, clips: Iterable[FloatArray], values: Sequence[str]) -> Erasure:
        """Fit to the rows ``[n, D]`` of each clip and its value of the attribute, of which there are two or more."""
        rows = [clip.astype(np.float64) for clip in clips]
        x, z = np.concatenate(rows), np.repeat(_one_hot(values), list(map(len, rows)), axis=0)
        mean = x.mean(axis=0)
        x -= mean
        cross, covariance = x.T @ (z - z.mean(axis=0)) / len(x), x.T @ x / len(x)
        ridge = RIDGE * float(np.trace(covariance)) / len(mean) or 1.0
        readers = np.linalg.solve(covariance + ridge * np.eye(len(mean)), cross)
        readers = readers @ np.linalg.pinv(cross.T @ readers, rcond=RANK, hermitian=True)
        learnt = {"mean": mean, "readers": readers, "directions": cross.T}
        return cls(learnt={name: array.astype(np.float32) for name, array in learnt.items()})

    def encode(self, rows: Rows) -> Rows:
        """Take the attribute out of rows ``[n, D]``."""
        told = (rows - self.learnt["mean"]) @ self.learnt["readers"]
        return np.asarray(rows - told @ self.learnt["directions"], np.float32)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Nothing brings it back."""
        return rows


def _one_hot(values: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[value == one for one in sorted(set(values))] for value in values], np.float64)
