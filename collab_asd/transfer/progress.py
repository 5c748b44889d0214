"""How a long job tells what it is doing, without knowing who looks on."""

from __future__ import annotations

from typing import Protocol


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
