"""Fixtures that every test may ask for."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16000
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real recordings, weights and reference outputs that lie beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: real recordings, weights and reference outputs are not redistributed")
    return SHARED


def write_machine(folder, machine, pitch, seed, train=12, test=6, seconds=4.0):
    """A humming machine; its anomalies whistle as well."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    for split, label, count in (("train", "normal", train), ("test", "normal", test), ("test", "anomaly", test)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            sound = 0.1 * np.sin(2 * np.pi * pitch * (1 + 0.01 * rng.normal()) * time) + 0.02 * rng.normal(
                size=len(time)
            )
            if label == "anomaly":
                sound += 0.05 * np.sin(2 * np.pi * 3000 * time)
            soundfile.write(folder / split / f"{label}_id_{machine}_{i:08d}.wav", sound, RATE, subtype="PCM_16")


@pytest.fixture(scope="session")
def machines(tmp_path_factory):
    """Three machines of one type, in the DCASE layout."""
    folder = tmp_path_factory.mktemp("machines")
    for i, pitch in enumerate((200, 320, 510)):
        write_machine(folder / "fan", f"{i:02d}", pitch, seed=i)
    return folder


@pytest.fixture(scope="session")
def larger_machines(tmp_path_factory):
    """Three machines of one type with clips for two clients each: 24 to train on, 8 normal and 8 faulty to test."""
    folder = tmp_path_factory.mktemp("larger")
    for i, pitch in enumerate((200, 320, 510)):
        write_machine(folder / "fan", f"{i:02d}", pitch, seed=10 + i, train=24, test=8)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One cache for all runs of a test session."""
    return tmp_path_factory.mktemp("cache")
