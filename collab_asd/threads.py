"""Threads of the numerical libraries: sums round differently with their number, so every engine pins it."""

import sys
from functools import lru_cache

import torch
from threadpoolctl import threadpool_limits


def pin_threads(count: int) -> None:
    """Let PyTorch, BLAS and OpenMP use `count` threads each in this process from now on."""
    _pin(count, len(sys.modules))


@lru_cache(maxsize=1)
def _pin(count: int, modules: int) -> None:
    """Look through the loaded libraries, which takes milliseconds; again only when new ones may have come."""
    torch.set_num_threads(count)
    threadpool_limits(count)
