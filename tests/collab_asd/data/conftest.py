"""Small recordings for the tests of the data room."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from collab_asd.core.types import Clip
from collab_asd.data.audio import sha256_of

RATE = 8000

Record = Callable[..., Path]


@pytest.fixture
def record() -> Record:
    """Write a recording of noise, each one different."""
    generator = np.random.default_rng(0)

    def write(path: Path, seconds: float = 1.5, rate: int = RATE, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, generator.uniform(-0.5, 0.5, (round(seconds * rate), channels)), rate)
        return path

    return write


@pytest.fixture
def dcase_folder(tmp_path: Path, record: Record) -> Path:
    """Two fans with three training clips, a normal and an anomalous test clip each: nothing is wrong with them."""
    for machine in ("00", "02"):
        for number in range(3):
            record(tmp_path / f"data/fan/train/normal_id_{machine}_{number:08}.wav")
        for label in ("normal", "anomaly"):
            record(tmp_path / f"data/fan/test/{label}_id_{machine}_00000000.wav")
    return tmp_path / "data"


@pytest.fixture
def clip_of() -> Callable[..., Clip]:
    """Make a training clip of any file."""

    def make(path: Path, channel: int = 0) -> Clip:
        return Clip(path, "fan", "00", "train", 0, sha256_of(path), channel)

    return make
