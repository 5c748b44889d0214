"""Wall-clock seconds per phase of a run."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

TRAINED_BEFORE = "train, in an earlier run"
"""Seconds that a run was spared because what it would have trained was kept; no part of its total."""


class Stopwatch:
    """Adds up the seconds spent in named phases; phases may nest.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> with watch("train"):
    ...     pass
    >>> list(watch.seconds)
    ['train']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Time a ``with`` block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start
