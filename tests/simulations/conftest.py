"""What the tests of whole runs and of the command line share."""

import csv
import logging

import pytest

from collab_asd import progress
from simulations.logs import ROOMS


@pytest.fixture
def fresh_process(monkeypatch):
    """As if nobody had called `show_progress` in this process, and as if nobody had afterwards."""
    monkeypatch.setattr(progress, "_display", progress.Display())
    loggers = [logging.getLogger(room) for room in ROOMS]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def listing():
    """Writes a CSV of recordings, with the type of each machine; an empty one leaves it out."""

    def write(folder, file, type_of):
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["path", "machine_type", "machine_id", "split", "label"])
            for path in sorted(folder.glob("fan/*/*.wav")):
                label, _, machine, _ = path.stem.split("_")
                if machine_type := type_of(int(machine)):
                    writer.writerow([path, machine_type, machine, path.parent.name, int(label == "anomaly")])
        return file

    return write


@pytest.fixture(scope="session")
def scores_of():
    """Reads score and threshold of each clip of a result folder."""

    def read(folder):
        with (folder / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["clip"].rpartition("/")[2]: (row["anomaly_score"], row["threshold"]) for row in rows}

    return read
