"""How a download shows itself on stderr: bars in a terminal, plain lines in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn
from rich.text import Text

LINE_EVERY = 15.0  # seconds between plain lines


class Bars:
    """A bar with speed and remaining time for the step in hand; the steps before it stay as bars that are full."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), SpeedColumn(), TimeRemainingColumn(),
            console=console,
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._end_step()
        self._bars.stop()

    def begin(self, step: str, total: int | None, done: int = 0) -> None:
        """Add a bar."""
        self._end_step()
        self._task = self._bars.add_task(step, total=total, completed=done)

    def advance(self, amount: int) -> None:
        """Lengthen the last bar."""
        if self._task is not None:
            self._bars.advance(self._task, amount)

    def note(self, line: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(Text(line, "yellow"), soft_wrap=True)

    def _end_step(self) -> None:
        """Stop the clock of the last bar; one of unknown length is full now."""
        if self._task is not None:
            self._bars.stop_task(self._task)
            if self._bars.tasks[self._task].total is None:
                self._bars.update(self._task, total=self._bars.tasks[self._task].completed)


class Lines:
    """A line when a step begins, and one now and then with percentage, speed and remaining time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step, self._total, self._done, self._before = "", 0, 0, 0
        self._began = self._said = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is open."""

    def begin(self, step: str, total: int | None, done: int = 0) -> None:
        """Print that a step begins."""
        self._step, self._total, self._done, self._before = step, total or 0, done, done
        self._began = self._said = time.monotonic()
        size = f": {total / 1e6:.1f} MB" if total else ""
        self._say(f"{step}{size}" + (f", {done / 1e6:.1f} MB of it are there" if done else ""))

    def advance(self, amount: int) -> None:
        """Print how far the step is, unless that was said just now."""
        self._done += amount
        now = time.monotonic()
        if now - self._said < LINE_EVERY:
            return
        self._said = now
        speed = max(1.0, (self._done - self._before) / (now - self._began))  # bytes per second
        left = (
            f", {self._done / self._total:.0%}, {(self._total - self._done) / speed:.0f} s left" if self._total else ""
        )
        self._say(f"{self._step}: {self._done / 1e6:.1f} MB, {speed / 1e6:.1f} MB/s{left}")

    def note(self, line: str) -> None:
        """Print it."""
        self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class Notes(Lines):
    """Quiet: what the user should know, and nothing of the progress."""

    def begin(self, step: str, total: int | None, done: int = 0) -> None:
        """Say nothing."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


def shown_on(console: Console, quiet: bool) -> Bars | Lines:
    """Choose what suits a console."""
    if quiet:
        return Notes(console)
    return Bars(console) if console.is_terminal else Lines(console)
