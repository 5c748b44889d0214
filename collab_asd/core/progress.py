"""Progress of long work: reported by the code that does it, displayed by the program that started it.

Code wraps its work in `step`. Nothing is displayed until a program calls `show_on`: with `Lines` in a log, such as that
of a SuperNode or a Ray actor, or with bars in a terminal. `show_progress` chooses, and sends log lines to stderr with
them: `flwr run --stream` passes on what reaches stderr, not plain logging.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import linear_regression, mean
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from collab_asd.core.terminal import LINE_ENDS, printable

log = logging.getLogger(__name__)
LINE_SECONDS = 4.0  # the longest silence
FIRST_SECONDS = 1.0  # a step that is over sooner is not mentioned
TICK_SECONDS = 0.5
Advance = Callable[..., None]
_last_line = 0.0
ROOMS = ("collab_asd", "baselines", "simulations")
BAR_WIDTH = 30


class Pace:
    """Remaining time of a step, or None where it cannot be known within a factor of two.

    The work that is done is cut into `CHUNKS` equal chunks. Several predictions of the time per chunk (all chunks, all
    but the first, the last half, quarter and chunk, and the trend over all chunks where it is significant) must agree
    within a factor of two; their geometric mean is then right if any of them is. A slow start, growing durations or a
    series of cached parts make them differ, and no time is given.

    Parameters
    ----------
    total : float
        Work of the whole step, in any unit.
    began : float
        Time in s.
    workers : int
        Parts that are done at the same time.
    """

    CHUNKS = 8
    EARLIEST = 0.1  # of the work
    AGREEMENT = 2.0
    SIGNIFICANT = 2.0  # standard errors
    UNCERTAINTY = 0.5  # of the prediction, two standard errors
    LAST_PARTS = 3  # per worker: what a few parts take cannot be known from the mean of many
    LONGEST_WAIT = 2.0  # times the longest time between two parts
    SHORTEST = 10.0  # s: what has been observed for less, or has less to go, is at the mercy of the machine's load
    SAMPLES = 256

    def __init__(self, total: float, began: float, workers: int = 1) -> None:
        self._total, self._workers = total, workers
        self._samples = [(0.0, began)]  # work done, and when
        self._parts, self._pending, self._longest = 0, 0.0, 0.0

    def note(self, now: float, work: float) -> None:
        """Note that a part is done; parts without work, such as clips that were cached, do not count."""
        if work <= 0:
            return
        self._parts, self._pending = self._parts + 1, self._pending + work
        if self._parts % self._workers:
            return  # the others that are done at the same time will follow
        done, before = self._samples[-1]
        self._longest = max(self._longest, now - before)
        self._samples.append((done + self._pending, now))
        self._pending = 0.0
        if len(self._samples) > self.SAMPLES:
            self._samples = [self._samples[0], *self._samples[2::2]]

    def remaining(self, now: float) -> float | None:
        """Seconds until the step ends."""
        samples = list(self._samples)
        done, last = samples[-1]
        left = self._total - done
        if self._parts < self.CHUNKS * self._workers or done < self.EARLIEST * self._total:
            return None
        if last - samples[0][1] < self.SHORTEST:
            return None
        if (
            left < self.LAST_PARTS * self._workers * done / self._parts
            or now - last > self.LONGEST_WAIT * self._longest
        ):
            return None
        seconds = self._per_chunk(left * self.CHUNKS / done, _chunks(samples, self.CHUNKS))
        if seconds is None:
            return None
        remaining = seconds * left * self.CHUNKS / done - (now - last)
        return remaining if remaining >= self.SHORTEST else None

    def _per_chunk(self, ahead: float, chunks: Sequence[float]) -> float | None:
        """Seconds that each of some chunks ahead will take on average."""
        count = len(chunks)
        predictions = [mean(chunks[start:]) for start in (0, 1, count // 2, -count // 4, -1)]
        warm = chunks[1:]  # a slow start is no trend
        slope, first = linear_regression(range(1, count), warm)
        variance = sum((s - first - slope * place) ** 2 for place, s in enumerate(warm, start=1)) / (len(warm) - 2)
        if slope**2 > self.SIGNIFICANT**2 * variance / (len(warm) * (len(warm) ** 2 - 1) / 12):
            predictions.append(first + slope * (count - 0.5 + ahead / 2))
        low, high = min(predictions), max(predictions)
        if low <= 0 or high > self.AGREEMENT * low:
            return None
        if 2 * math.sqrt(variance * (1 / count + 1 / ahead)) > self.UNCERTAINTY * low:
            return None
        return math.sqrt(low * high)


def _chunks(samples: Sequence[tuple[float, float]], count: int) -> list[float]:
    """Seconds of each of `count` equal chunks of the work that is done, interpolated between samples."""
    work, times = zip(*samples, strict=True)

    def reached(amount: float) -> float:
        after = min(max(1, bisect_left(work, amount)), len(work) - 1)
        share = (amount - work[after - 1]) / (work[after] - work[after - 1])
        return float(times[after - 1] + share * (times[after] - times[after - 1]))

    at = [reached(work[-1] * i / count) for i in range(count + 1)]
    return [end - start for start, end in pairwise(at)]


@dataclass(eq=False)
class Step:
    """A step that is under way; parameters as of `step`."""

    what: str
    total: int | None = None
    done: int = 0
    cost: Sequence[float] | None = None
    even: bool = False
    workers: int = 1
    in_bytes: bool = False

    def __post_init__(self) -> None:
        self.began, self.before, self.mentioned = time.monotonic(), self.done, False
        self._costs = None if self.cost is None else iter(self.cost)
        work = sum(self.cost or ()) if not self.even else (self.total or 0) - self.done
        self._pace = Pace(work, self.began, self.workers) if work > 0 else None

    def advance(self, amount: int = 1) -> None:
        """Report that a part is done."""
        self.done += amount
        if self._pace is not None:
            work = float(amount) if self._costs is None else sum(next(self._costs, 0.0) for _ in range(amount))
            self._pace.note(time.monotonic(), work)

    def remaining(self, now: float) -> str:
        """Return the time that is left in words; empty where it is not known."""
        seconds = None if self._pace is None else self._pace.remaining(now)
        return "" if seconds is None else f"about {duration(_rounded(seconds))} left"

    @property
    def amount(self) -> str:
        """How much is done, and of how much."""
        if self.in_bytes:
            return f"{self.done / 1e6:.1f}" + (f" of {self.total / 1e6:.1f} MB" if self.total else " MB")
        return str(self.done) + (f" of {self.total}" if self.total else "")

    def line(self, now: float) -> str:
        """Return the step in one line."""
        elapsed = now - self.began
        if not self.total and self.done == 0:
            return f"{self.what}: {duration(elapsed)}"
        speed = f" at {(self.done - self.before) / 1e6 / elapsed:.1f} MB/s" if self.in_bytes and elapsed > 0 else ""
        left = self.remaining(now)
        return f"{self.what}: {self.amount} after {duration(elapsed)}{speed}" + (f", {left}" if left else "")


class Display:
    """Something that shows the steps that are under way, outermost first."""

    def changed(self, steps: Sequence[Step]) -> None:
        """React to a step that has begun or ended."""


class Lines(Display):
    """A log line whenever there was none for `LINE_SECONDS` while a step is under way, or one has just begun.

    Parameters
    ----------
    every : float
        Longest silence in s.
    """

    def __init__(self, every: float = LINE_SECONDS) -> None:
        self._every = every
        self._watching = False

    def changed(self, steps: Sequence[Step]) -> None:
        """Begin to watch, in a thread that ends when another display takes over."""
        if not self._watching:
            self._watching = True
            threading.Thread(target=self._watch, name="progress", daemon=True).start()

    def _watch(self) -> None:
        while _display is self:
            self.tick(time.monotonic(), list(_steps))
            time.sleep(TICK_SECONDS)

    def tick(self, now: float, steps: Sequence[Step]) -> None:
        """Write a line about some steps if one is due."""
        if not steps:
            return
        silence, inner = now - max(_last_line, steps[0].began), steps[-1]
        new = not inner.mentioned and min(now - inner.began, silence) >= FIRST_SECONDS
        if silence >= self._every or new:
            inner.mentioned = True
            log.info("%s", "; ".join(step.line(now) for step in worth_showing(steps, now)))
            line_written(now)


def worth_showing(steps: Sequence[Step], now: float) -> list[Step]:
    """Of steps that have been under way for a second: those of which counted parts are left, and the innermost."""
    lasting = [step for step in steps if now - step.began >= FIRST_SECONDS] or steps[:1]
    return [step for step in lasting[:-1] if step.total and step.done < step.total] + list(lasting[-1:])


_steps: list[Step] = []
_display = Display()


def show_on(display: Display) -> Display:
    """Show all steps of this process on a display from now on; return the one that it takes the place of."""
    global _display
    before, _display = _display, display
    line_written()
    display.changed(_steps)
    return before


def line_written(now: float | None = None) -> None:
    """Report that the user has just seen a line, whoever wrote it."""
    global _last_line
    _last_line = time.monotonic() if now is None else now


@contextmanager
def step(
    what: str,
    total: int | None = None,
    *,
    done: int = 0,
    cost: Sequence[float] | None = None,
    even: bool = False,
    workers: int = 1,
    in_bytes: bool = False,
) -> Iterator[Advance]:
    """Report how far a step is: ``with step("embedding clips", 100) as advance: ...``.

    The remaining time is shown only where the parts can be compared with each other: with `cost` or `even`.

    Parameters
    ----------
    what : str
        What is being done, in words.
    total : int, optional
        Number of parts, or of bytes; without it only the elapsed time is shown.
    done : int
        Of these, what was there before.
    cost : sequence of float, optional
        What each part takes, in the order in which they are done, in any unit: file sizes; 0 for what is cached.
    even : bool
        Whether all parts take about as long.
    workers : int
        Parts that are done at the same time.
    in_bytes : bool
        Whether the parts are bytes.

    Yields
    ------
    callable
        To be called after each part, or with the number of parts that are done.
    """
    new = Step(what, total, done, cost, even, workers, in_bytes)
    _steps.append(new)
    _display.changed(_steps)
    try:
        yield new.advance
    finally:
        _steps.remove(new)
        _display.changed(_steps)


def duration(seconds: float) -> str:
    """Return a time in words: ``"45 s"``, ``"3 min 20 s"``, ``"2 h 5 min"``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")


def _rounded(seconds: float) -> float:
    """Round to two digits: no more are known."""
    return round(seconds, 1 - math.floor(math.log10(seconds))) if seconds >= 10 else seconds


def show_progress(level: int = logging.INFO, console: Console | None = None, every: float = LINE_SECONDS) -> None:
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
        show_on(Bars(console) if console is not None and console.is_terminal else Lines(every))


def leave_out_flowers_log() -> None:
    """Pass on no more than warnings of Flower, which would set a level again when it is imported."""
    logging.getLogger("flwr").addFilter(_is_warning)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


class PlainFormatter(logging.Formatter):
    """Leaves no name in a log line the chance to steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as `logging.Formatter`."""
        return printable(super().format(record), keep=LINE_ENDS)


class Bars(Display):
    """A bar for each step that is under way; gone when all have ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def changed(self, steps: Sequence[Step]) -> None:
        """Begin with the first step, end with the last."""
        if steps and self._live is None:
            self._live = Live(
                get_renderable=lambda: bars(steps), console=self._console, transient=True, refresh_per_second=4
            )
            self._live.start(refresh=True)
        elif not steps and self._live is not None:
            self._live.stop()
            self._live = None


def bars(steps: Sequence[Step]) -> Table:
    """Draw what, how far, how much, and the remaining time, or else the elapsed one."""
    now, table = time.monotonic(), Table.grid(padding=(0, 1))
    for step in worth_showing(steps, now):
        bar = ProgressBar(step.total, step.done, BAR_WIDTH)
        amount = step.amount if step.total or step.done else ""
        table.add_row(Text(step.what), bar, amount, step.remaining(now) or duration(now - step.began))
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
        line_written()


class _AboveBars(logging.Handler):
    """Prints on the console that the bars are on, which moves them down."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)
