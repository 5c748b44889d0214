"""How far long work is: told by whoever does it, shown by whoever started it.

Without a display there are plain log lines, as in the log of a SuperNode or a Ray actor; the command line puts bars in
their place when it runs in a terminal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

log = logging.getLogger(__name__)
LINE_SECONDS = 10.0


class Display(Protocol):
    """Something that shows how far a step of known length is."""

    def step(self, what: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Show a step while the context is open; the callable is called after each of its `total` parts."""
        ...


class LogLines:
    """A line when a step begins, and one every 10 s with the time that is left.

    Parameters
    ----------
    announce : bool
        False leaves out the first line, where there are many short steps.
    """

    def __init__(self, announce: bool = True) -> None:
        self._announce = announce

    @contextmanager
    def step(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """See `Display`."""
        began = said = time.monotonic()
        done = 0
        if self._announce:
            log.info("%s: %d", what, total)

        def advance() -> None:
            nonlocal done, said
            done += 1
            now = time.monotonic()
            if now - said >= LINE_SECONDS:
                said = now
                log.info("%s: %d of %d, %.0f s left", what, done, total, (now - began) / done * (total - done))

        yield advance


_display: Display = LogLines()


def show_on(display: Display) -> Display:
    """Show all steps of this process on a display from now on; return the one that it takes the place of."""
    global _display
    before, _display = _display, display
    return before


def step(what: str, total: int) -> AbstractContextManager[Callable[[], None]]:
    """Tell how far a step is: ``with step("embedding clips", 100) as advance: ...``."""
    return _display.step(what, total)
