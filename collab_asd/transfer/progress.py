"""How a long job tells what it is doing, without knowing who looks on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

LINE_EVERY = 15.0  # seconds between plain lines


class Progress(Protocol):
    """Someone who looks on; amounts are in bytes."""

    def begin(self, step: str, total: int | None, done: int = 0) -> None:
        """Say that a step begins, of a size that may be unknown; the step before it has ended."""

    def advance(self, amount: int) -> None:
        """Say that more of the step is done."""

    def note(self, line: str) -> None:
        """Say what the user should know and nobody needs to act on at once."""


class Silent:
    """Nobody looks on."""

    def begin(self, step: str, total: int | None, done: int = 0) -> None:
        """Say nothing."""

    def advance(self, amount: int) -> None:
        """Say nothing."""

    def note(self, line: str) -> None:
        """Say nothing."""


class Lines:
    """A line when a step begins, and one now and then with percentage, speed and remaining time.

    Parameters
    ----------
    say : callable
        What a line is handed to.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._step, self._total, self._done, self._before = "", 0, 0, 0
        self._began = self._said = 0.0

    def begin(self, step: str, total: int | None, done: int = 0) -> None:
        """Say that a step begins."""
        self._step, self._total, self._done, self._before = step, total or 0, done, done
        self._began = self._said = time.monotonic()
        size = f": {total / 1e6:.1f} MB" if total else ""
        self._say(f"{step}{size}" + (f", {done / 1e6:.1f} MB of it are there" if done else ""))

    def advance(self, amount: int) -> None:
        """Say how far the step is, unless that was said just now."""
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
        """Say it."""
        self._say(line)
