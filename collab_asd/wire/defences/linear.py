"""Defences that are affine maps of the embedding space: a secret rotation, and the erasure of an attribute.

**Rotation.** All clients share it and the server does not know it. No protection to rely on. Distances, and with them
all that clients and server compute from distances, stay as they are. So do lengths, angles and principal components:
who knows the encoder can align the turned space with its own by these, without any leaked clip (docs/privacy.md, "A
secret rotation does not protect recordings").

**Erasure.** What predicts an attribute linearly is taken out of the embeddings. A client that knows an attribute of its
training clips, and would keep it to itself, takes out of its rows x

    r(x) = x - S (S' A S)^+ S' A (x - m),    S = Cov(x, z), A = (Cov(x, x) + c I)^-1, m = mean of x,

z being the attribute's values, one column each. Cov(r(x), z) is zero, so that on these clips no linear function of rows
predicts z better than a constant does; with c = 0 nothing else with that property lies closer to x. A directions' worth
of each value but one is lost. Functions that are not linear (a variance) may still predict z, and clips that it was not
fitted to are protected as far as they are like those.

References
----------
G. W. Stewart, "The efficient generation of random orthogonal matrices with an application to condition estimators",
SIAM Journal on Numerical Analysis 17(3), 1980. F. Mezzadri, "How to generate random matrices from the classical compact
groups", Notices of the AMS 54(5), 2007. As a defence: K. Chen and L. Liu, "Privacy preserving data classification with
rotation perturbation", ICDM 2005. N. Belrose et al., "LEACE: Perfect linear concept erasure in closed form", NeurIPS
2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import sormqr

from collab_asd.core import seeding
from collab_asd.core.types import FloatArray
from collab_asd.wire.codecs.stages import Rows, Stage

RIDGE = 1e-3  # c, in mean variances of a dimension
RANK = 1e-9  # eigenvalues that are less, against the largest, are nothing
PURPOSE = "collab-asd rotation"
BLOCK = 64  # columns that LAPACK takes at once


class Rotation(Stage):
    """An orthogonal map of D dimensions, uniformly distributed (Haar), drawn from a key.

    It is kept as D reflections, as the QR decomposition of a matrix of normal numbers would give them: each is drawn,
    nothing is decomposed (Stewart, 1980), and LAPACK applies them at the cost of one product of matrices.
    """

    @classmethod
    def of_key(cls, key: bytes, dimension: int) -> Rotation:
        """Draw the rotation of `dimension` dimensions that belongs to a key; the last one is kept in memory."""
        return _of_key(key, dimension)

    @property
    def fingerprint(self) -> str:
        """What tells two rotations apart and tells nothing else of them: 64 hexadecimal digits."""
        return bytes(self.learnt["fingerprint"]).hex()

    def encode(self, rows: Rows) -> Rows:
        """Turn rows ``[n, D]``."""
        reflections, scales = self.learnt["reflections"], self.learnt["scales"]
        turned, _, info = sormqr(
            "R", "N", reflections, scales, np.asfortranarray(rows, np.float32), BLOCK * (len(rows) + 2 * BLOCK)
        )
        if info:
            raise ValueError(f"rows {rows.shape} cannot be turned in {len(scales)} dimensions")
        return np.ascontiguousarray(turned * self.learnt["signs"])

    def decode(self, rows: Rows, count: int) -> Rows:
        """Nothing is turned back: the ID classifier is trained on turned frames."""
        return rows


def load_rotation(path: str, dimension: int) -> Rotation:
    """Draw the rotation of a key file.

    Raises
    ------
    InputError
        The file cannot be used.
    """
    return Rotation.of_key(load_rotation_key(path), dimension)


def load_rotation_key(path: str) -> bytes:
    """Read the clients' common key.

    Raises
    ------
    InputError
        The file cannot be used.
    """
    return seeding.read_key(Path(path).expanduser(), "rotation-key-file")


@lru_cache(maxsize=1)
def _of_key(key: bytes, dimension: int) -> Rotation:
    seed = seeding.keyed_hash(key, PURPOSE)
    heads = seeding.gaussian(seed + b"heads", dimension)
    below = seeding.gaussian(seed + b"below", dimension * (dimension - 1) // 2)
    reflections, scales = np.zeros((dimension, dimension), np.float32, "F"), np.zeros(dimension, np.float32)
    drawn = 0
    for column, head in enumerate(heads[:-1]):
        tail = below[drawn : (drawn := drawn + dimension - column - 1)]
        length = np.sqrt(head**2 + tail @ tail)
        reflections[column + 1 :, column] = tail / (head + np.copysign(length, head))
        scales[column] = 1 + np.abs(head) / length
    signs = np.append(-np.sign(heads[:-1]), np.sign(heads[-1:])).astype(np.float32)
    fingerprint = np.frombuffer(seeding.keyed_hash(key, f"{PURPOSE}, fingerprint"), np.uint8)
    return Rotation(learnt={"reflections": reflections, "scales": scales, "signs": signs, "fingerprint": fingerprint})


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
