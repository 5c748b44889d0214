"""Progress and log lines on stderr: bars in a terminal, plain lines elsewhere.

`flwr run --stream` passes on what reaches stderr, not plain logging.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from collab_asd import progress
from collab_asd.printable import printable
from simulations.terminal import LINE_ENDS

ROOMS = ("collab_asd", "baselines", "simulations")
BAR_WIDTH = 30


def show_progress(
    level: int = logging.INFO, console: Console | None = None, every: float = progress.LINE_SECONDS
) -> None:
    """Send the project's log lines to stderr, and progress with them, once per process.

    Parameters
    ----------
    level : int
        Of `logging`; above INFO there is no progress, either.
    console : Console, optional
        Where it is a terminal, it shows bars, and log lines above them.
    every : float
        Elsewhere, the longest time in s without a line while a step is under way.
    """
    loggers = [logging.getLogger(room) for room in ROOMS]
    if any(logger.handlers for logger in loggers):
        return
    handler: logging.Handler = _Plain(sys.stderr)
    if console is not None and console.is_terminal and level <= logging.INFO:
        handler = _AboveBars(console)
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home folder that it cannot keep fonts in
    for logger in loggers:
        logger.setLevel(level)
        logger.addHandler(handler)
        logger.propagate = False
    if level <= logging.INFO:
        progress.show_on(Bars(console) if console is not None and console.is_terminal else progress.Lines(every))


class PlainFormatter(logging.Formatter):
    """Leaves no name in a log line the chance to steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as `logging.Formatter`."""
        return printable(super().format(record), keep=LINE_ENDS)


class Bars(progress.Display):
    """A bar for each step that is under way; gone when all have ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def changed(self, steps: Sequence[progress.Step]) -> None:
        """Begin with the first step, end with the last."""
        if steps and self._live is None:
            self._live = Live(
                get_renderable=lambda: bars(steps), console=self._console, transient=True, refresh_per_second=4
            )
            self._live.start(refresh=True)
        elif not steps and self._live is not None:
            self._live.stop()
            self._live = None


def bars(steps: Sequence[progress.Step]) -> Table:
    """Draw what, how far, how much, and the remaining time, or else the elapsed one."""
    now, table = time.monotonic(), Table.grid(padding=(0, 1))
    for step in progress.worth_showing(steps, now):
        bar = ProgressBar(step.total, step.done, BAR_WIDTH)
        amount = step.amount if step.total or step.done else ""
        table.add_row(Text(step.what), bar, amount, step.remaining(now) or progress.duration(now - step.began))
    return table


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


class _Plain(logging.StreamHandler[TextIO]):
    """Prints lines, and keeps count of the silence between them."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        progress.line_written()


class _AboveBars(logging.Handler):
    """Prints on the console that the bars are on, which moves them down."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)
