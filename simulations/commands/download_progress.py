"""How a download shows itself on stderr: bars in a terminal, plain lines in a log."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn
from rich.text import Text

from collab_asd.transfer.progress import Lines as PlainLines


class Bars:
    """A bar with speed and remaining time for the step in hand; the steps before it stay as bars that are full."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), SpeedColumn(),
            TimeRemainingColumn(), console=console,
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


class Lines(PlainLines):
    """A line when a step begins, and one now and then with percentage, speed and remaining time."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda line: console.print(Text(line), soft_wrap=True))

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is open."""


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
