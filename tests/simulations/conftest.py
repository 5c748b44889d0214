"""What the tests of whole runs and of the command line share."""

import logging

import pytest

from collab_asd import progress
from simulations.logs import ROOMS


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
