"""Keep a process running: started again when it dies, later each time, until somebody says stop."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from simulations.deployment.processes import stop

logger = logging.getLogger(__name__)
FIRST_WAIT, GROWTH, LONGEST_WAIT = 4.0, 1.5, 60.0
SOUND_SECONDS = 300.0
"""A process that lived so long was well: the next wait is the first again."""
TICK_SECONDS = 5.0


def supervise(
    what: str, begin: Callable[[], subprocess.Popen[bytes]], tick: Callable[[], None] | None = None, hint: str = ""
) -> None:
    """Start a process, and again whenever it ends; returns on SIGTERM or Ctrl-C, with the process stopped.

    A SuperNode that was killed is refused for about 40 s when it comes back, since its SuperLink still holds it for
    connected: trying again is all that it takes.

    Parameters
    ----------
    what : str
        Its name in the log.
    begin : callable
        Starts it.
    tick : callable, optional
        Called every few seconds while it runs.
    hint : str
        What may be the matter when it ends.
    """
    wait = FIRST_WAIT
    with stopped_by_signals():
        while True:
            process, started = begin(), time.monotonic()
            try:
                code = _watch(process, tick)
            finally:
                stop(process)
            wait = FIRST_WAIT if time.monotonic() - started > SOUND_SECONDS else wait
            logger.warning("%s ended with code %d; it starts again in %.0f s%s", what, code, wait, hint)
            time.sleep(wait)
            wait = min(GROWTH * wait, LONGEST_WAIT)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """End a ``with`` block quietly on SIGTERM and on Ctrl-C."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        logger.info("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(process: subprocess.Popen[bytes], tick: Callable[[], None] | None) -> int:
    while True:
        try:
            return process.wait(TICK_SECONDS)
        except subprocess.TimeoutExpired:
            if tick is not None:
                tick()
