"""What a run takes of this machine: threads and a device, seconds per phase, peak memory.

Sums round differently with the number of threads, so every engine pins it, and what is cheap is done in one thread.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import torch
from threadpoolctl import threadpool_limits

from collab_asd.core.errors import InputError

logger = logging.getLogger(__name__)
TRAINED_BEFORE = "train, in an earlier run"
"""Seconds that a run was spared because what it would have trained was kept; no part of its total."""
STATUS = Path("/proc/self/status")
MEGABYTE = 1_000_000
INTERVAL_SECONDS = 0.05


def pin_threads(count: int) -> None:
    """Let PyTorch, BLAS and OpenMP use `count` threads each in this process from now on."""
    _pin(count, len(sys.modules))


@lru_cache(maxsize=1)
def _pin(count: int, modules: int) -> None:
    """Look through the loaded libraries, which takes milliseconds; again only when new ones may have come."""
    torch.set_num_threads(count)
    threadpool_limits(count)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread in a block: sums are then added in one order, however many threads a run has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def resolve_device(name: str) -> str:
    """Return the device that a name stands for, after seeing that PyTorch can use it on this machine.

    Parameters
    ----------
    name : str
        As `RunConfig` accepts it: ``cpu``; ``cuda``, ``mps`` or ``xpu`` with or without a number; or ``auto``, which is
        the first of CUDA, MPS and CPU that there is. Which one that is goes to the log.

    Raises
    ------
    InputError
        There is no such device, or none of that number.
    """
    if name == "auto":
        found = next((kind for kind in ("cuda", "mps") if _count(kind)), "cpu")
        _tell_choice(found)
        return found
    kind, _, number = name.partition(":")
    count = 1 if kind == "cpu" else _count(kind)
    if int(number or 0) >= count:
        found = f"{count} of them, counted from 0" if count else "none"
        raise InputError(
            f"device = {name!r}: PyTorch {torch.__version__} finds {found} on this machine; set device = cpu, or "
            "install the driver and a PyTorch that is built for it; to a client that Ray runs, give a share of a GPU "
            "(client-resources-num-gpus)"
        )
    return name


@lru_cache
def _tell_choice(found: str) -> None:
    """Log what was chosen, once in each process."""
    logger.info("device = auto: %s", found)


def _count(kind: str) -> int:
    """Devices of a kind that PyTorch can use."""
    module = torch.get_device_module(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an outdated driver is warned of in many lines
        return module.device_count() if module.is_available() else 0


def release_memory() -> None:
    """Give back what PyTorch holds of accelerators' memory and does not use: other processes may share them."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


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
