"""Threads and device of the numerical libraries: sums round differently with their number, so every engine pins it."""

import sys
import warnings
from functools import lru_cache

import torch
from threadpoolctl import threadpool_limits

from collab_asd.errors import InputError


def pin_threads(count: int) -> None:
    """Let PyTorch, BLAS and OpenMP use `count` threads each in this process from now on."""
    _pin(count, len(sys.modules))


@lru_cache(maxsize=1)
def _pin(count: int, modules: int) -> None:
    """Look through the loaded libraries, which takes milliseconds; again only when new ones may have come."""
    torch.set_num_threads(count)
    threadpool_limits(count)


def require_device(name: str) -> None:
    """Refuse a device that PyTorch cannot use on this machine.

    Parameters
    ----------
    name : str
        As `RunConfig` accepts it: ``cpu``, or ``cuda``, ``mps`` or ``xpu`` with or without a number.

    Raises
    ------
    InputError
        There is no such device, or none of that number.
    """
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return
    module = torch.get_device_module(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an outdated driver is warned of in many lines
        count = module.device_count() if module.is_available() else 0
    if int(number or 0) >= count:
        found = f"{count} of them, counted from 0" if count else "none"
        raise InputError(
            f"device = {name!r}: PyTorch {torch.__version__} finds {found} on this machine; set device = cpu, or "
            "install the driver and a PyTorch that is built for it"
        )
