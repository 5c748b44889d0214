"""A world in which sounds are random and embeddings a linear function of them: what each attack reaches is known."""

from pathlib import Path

import numpy as np
import pytest

from collab_asd.audit.observations import ObservedClip
from collab_asd.core.types import Clip

BANDS = 64


def clip_of(machine, number, client=0):
    return Clip(Path(f"{machine}-{number}"), "fan", machine, "train", None, f"{client}-{machine}-{number}")


@pytest.fixture
def world():
    """Makes clips of a client: 5 rows of 64 bands each, heard through an invertible matrix."""
    matrix = np.linalg.qr(np.random.default_rng(99).standard_normal((BANDS, BANDS)))[0].astype(np.float32)

    def make(client, count, seed, machine="00", noise=0.0, tag=None):
        rng = np.random.default_rng(seed)
        heard = []
        for i in range(count):
            spectra = rng.standard_normal((5, BANDS)).astype(np.float32) * 6 - 40
            tags = {}
            if tag is not None:
                tags = {tag: "high" if i % 2 else "low"}
                spectra[:, 7] += 18 * (i % 2)
            rows = spectra @ matrix + noise * rng.standard_normal((5, BANDS)).astype(np.float32)
            heard.append(ObservedClip(client, clip_of(machine, i, client), rows, spectra, tags))
        return heard

    make.matrix = matrix
    return make
