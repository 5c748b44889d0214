"""A secret rotation of the embedding space, which all clients share and the server does not know.

No protection to rely on. Distances, and with them all that clients and server compute from distances, stay as they are.
So do lengths, angles and principal components: who knows the encoder can align the turned space with its own by these,
without any leaked clip (docs/privacy.md, "A secret rotation does not protect recordings").

References
----------
G. W. Stewart, "The efficient generation of random orthogonal matrices with an application to condition estimators",
SIAM Journal on Numerical Analysis 17(3), 1980. F. Mezzadri, "How to generate random matrices from the classical compact
groups", Notices of the AMS 54(5), 2007. As a defence: K. Chen and L. Liu, "Privacy preserving data classification with
rotation perturbation", ICDM 2005.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.linalg.lapack import sormqr

from collab_asd.core import seeding
from collab_asd.wire.codecs.stages import Rows, Stage

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
    seed = seeding.derived(key, PURPOSE)
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
    fingerprint = np.frombuffer(seeding.derived(key, f"{PURPOSE}, fingerprint"), np.uint8)
    return Rotation(learnt={"reflections": reflections, "scales": scales, "signs": signs, "fingerprint": fingerprint})
