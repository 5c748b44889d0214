"""Threads of the numerical libraries: sums round differently with their number, so every engine pins it."""

import torch
from threadpoolctl import threadpool_limits


def pin_threads(count: int) -> None:
    """Let PyTorch, BLAS and OpenMP use `count` threads each in this process from now on."""
    torch.set_num_threads(count)
    threadpool_limits(count)
