"""Resampling with the filter of `resampy` up to 0.2.2 (``kaiser_best``), by which the official OpenL3 resamples.

Upsampling, it is taken literally, with resampy's table of 512 values per zero crossing and straight lines between them.
They leave a millionth of full scale above the recording's band, and OpenL3, whose 80 dB reach down to there, hears it.
Downsampling, resampy rounds its steps through the table to whole values, which lets a thousandth of what the new rate
cannot hold pass; here the steps are exact.

torchaudio's `resample` evaluates the same filter without a table and differs by that millionth. The width of 64 that
its tutorial gives for ``kaiser_best`` is another filter, off by a thousandth: torchaudio counts zero crossings after
the roll-off, resampy those before it.

J. O. Smith, "Digital audio resampling home page", CCRMA, Stanford University (the table and its interpolation).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from collab_asd.core.types import FloatArray

CROSSINGS, STEPS = 64, 512  # zero crossings on either side, table values per crossing
ROLLOFF = 0.9475937167399596  # pass band, as a share of the lower rate's
BETA = 14.769656459379492  # of the Kaiser window
BLOCK = 1 << 22  # samples that are filtered at once, for the sake of memory


def resample(waveform: FloatArray, rate: int, new_rate: int) -> FloatArray:
    """Resample a waveform ``[samples]`` from one rate to another, Hz -> ``[ceil(samples * new_rate / rate)]``."""
    return resample_tensor(torch.tensor(waveform), rate, new_rate).numpy()


@torch.inference_mode()
def resample_tensor(waveform: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resample a waveform ``[samples]`` on the device that it is on; see `resample`."""
    divisor = gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    kernels, reach = _kernels(old, new, waveform.device)
    resampled = waveform.new_empty(ceil(len(waveform) * new / old))
    periods, step = len(waveform) // old + 1, max(1, BLOCK // old)
    for first in range(0, periods, step):
        begin, end = first * old - reach, min(first + step, periods) * old + reach
        inside = waveform[max(0, begin) : end]
        padded = F.pad(inside[None, None], (max(0, -begin), end - max(0, begin) - len(inside)))
        phases = F.conv1d(padded, kernels[:, None], stride=old)[0]  # [new, periods of `old` samples]
        part = phases.T.flatten()[: len(resampled) - first * new]
        resampled[first * new : first * new + len(part)] = part
    return resampled


@lru_cache(maxsize=4)
def _kernels(old: int, new: int, device: torch.device) -> tuple[Tensor, int]:
    """Make filters ``[new, taps]``, one per phase of the output; and say how many samples back they reach."""
    scale = min(1.0, new / old)
    reach = ceil(CROSSINGS / scale)
    taps = np.arange(-reach, reach + old)
    table = _table()
    kernels = np.empty((new, len(taps)), np.float32)
    rows = max(1, BLOCK // len(taps))  # computed at once
    for first in range(0, new, rows):
        distance = np.arange(first, min(first + rows, new))[:, None] * old / new - taps
        kernels[first : first + rows] = scale * np.interp(
            np.abs(distance) * scale * STEPS, np.arange(len(table)), table, right=0.0
        )
    return torch.from_numpy(kernels).to(device), reach


def _table() -> NDArray[np.float64]:
    """Right half of the filter: sinc under a Kaiser window."""
    values = CROSSINGS * STEPS
    time = np.linspace(0.0, CROSSINGS, values + 1)
    table: NDArray[np.float64] = ROLLOFF * np.sinc(ROLLOFF * time) * np.kaiser(2 * values + 1, BETA)[values:]
    return table
