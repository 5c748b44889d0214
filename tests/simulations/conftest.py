"""Small synthetic machines that whole runs are tested on."""

import logging

import numpy as np
import pytest
import soundfile

from collab_asd import progress
from simulations.logs import ROOMS

RATE = 16000


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
def cache(tmp_path_factory):
    """One cache for all runs of a test session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def fresh_process(monkeypatch):
    """As if nobody had called `show_progress` in this process, and as if nobody had afterwards."""
    monkeypatch.setattr(progress, "_display", progress.LogLines())
    loggers = [logging.getLogger(room) for room in ROOMS]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
