"""Progress and log lines on stderr: bars in a terminal, plain lines elsewhere.

`flwr run --stream` passes on what reaches stderr, not plain logging.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from collab_asd import progress
from collab_asd.printable import printable
from simulations.terminal import LINE_ENDS

ROOMS = ("collab_asd", "baselines", "simulations")


def show_progress(level: int = logging.INFO, console: Console | None = None) -> None:
    """Send the project's log lines to stderr, once per process.

    Parameters
    ----------
    level : int
        Of `logging`; above INFO there is no progress, either.
    console : Console, optional
        Where it is a terminal, it shows bars, and log lines above them.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if console is not None and console.is_terminal and level <= logging.INFO:
        handler = _AboveBars(console)
        progress.show_on(Bars(console))
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home folder that it cannot keep fonts in
    for room in ROOMS:
        logger = logging.getLogger(room)
        if not logger.handlers:
            logger.setLevel(level)
            logger.addHandler(handler)
            logger.propagate = False


class PlainFormatter(logging.Formatter):
    """Leaves no name in a log line the chance to steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as `logging.Formatter`."""
        return printable(super().format(record), keep=LINE_ENDS)


class Bars:
    """A bar with the remaining time for each step while it lasts; steps within a step have theirs below."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: Progress | None = None

    @contextmanager
    def step(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """See `collab_asd.progress.Display`."""
        if self._shown is None:
            with self._display() as bars:
                task = bars.add_task(what, total=total)
                yield lambda: bars.advance(task)
        else:
            with _bar_below(self._shown, what, total) as advance:
                yield advance

    @contextmanager
    def _display(self) -> Iterator[Progress]:
        """Show bars: a terminal has room for one display of them."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as self._shown:
            try:
                yield self._shown
            finally:
                self._shown = None


@contextmanager
def _bar_below(bars: Progress, what: str, total: int) -> Iterator[Callable[[], None]]:
    task = bars.add_task(what, total=total)
    try:
        yield lambda: bars.advance(task)
    finally:
        bars.remove_task(task)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect what the project warns of within a ``with`` block, wherever else it is said."""
    collector = _Collector(logging.WARNING)
    loggers = [logging.getLogger(room) for room in ROOMS]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        yield collector.lines
    finally:
        for logger in loggers:
            logger.removeHandler(collector)


class _Collector(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class _AboveBars(logging.Handler):
    """Prints on the console that the bars are on, which moves them down."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)
