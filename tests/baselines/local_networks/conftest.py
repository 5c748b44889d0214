"""A machine that swells and fades, as log-mel frames in dB; its fault is a whistle."""

import numpy as np
import pytest

BANDS, FRAMES = 128, 60


def hum(random, whistle=0.0):
    loudness = 6 * np.sin(2 * np.pi * (np.arange(FRAMES) / 30 + random.random()))
    frames = -60 + loudness[:, None] + 2 * random.normal(size=(FRAMES, BANDS))
    frames[:, 90] += whistle
    return frames.astype(np.float32)


@pytest.fixture(scope="session")
def normals():
    random = np.random.default_rng(0)
    return [hum(random) for _ in range(8)]


@pytest.fixture(scope="session")
def tests():
    """Five unseen normal clips, five with a whistle of 20 dB."""
    random = np.random.default_rng(1)
    return [hum(random) for _ in range(5)], [hum(random, whistle=20.0) for _ in range(5)]
