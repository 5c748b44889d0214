"""Peak anonymous memory of this process, as the kernel counts it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

STATUS = Path("/proc/self/status")
MEGABYTE = 1_000_000
INTERVAL_SECONDS = 0.05


class PeakMemory:
    """Samples anonymous memory 20 times a second inside a ``with`` block.

    Anonymous memory leaves out mapped files, which the kernel can drop at will. Where the kernel does not tell it (not
    Linux), the unique set size stands in.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, anonymous_mb())
            if self._stop.wait(INTERVAL_SECONDS):
                return


def anonymous_mb() -> float:
    """Anonymous memory of this process now, in MB (1e6 bytes)."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024 / MEGABYTE
    return float(psutil.Process().memory_full_info().uss / MEGABYTE)
