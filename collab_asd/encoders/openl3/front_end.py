"""Windows of 1 s -> mel spectra in dB, as the `openl3` package's two generations compute them.

Both take 199 spectra of 2048 samples, Hann window, every 242 samples, mel bands from 0 to 24 kHz of equal area, and
decibels below the window's own maximum, clipped at -80 dB (so silence is 0 dB throughout). They differ in the rest:

========  =================  ==================  ===========  =======================
name      openl3             zeros around        mel scale    a mel band is
========  =================  ==================  ===========  =======================
kapre     0.4 and later      after the window    Slaney       sum of magnitudes
legacy    up to 0.3.1        on both sides       HTK          root of a sum of powers
========  =================  ==================  ===========  =======================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 48_000  # Hz
WINDOW = 48_000  # samples
FFT, FFT_HOP, FRAMES = 2048, 242, 199  # samples, samples, spectra of one window
FLOOR, RANGE = 1e-10, 80.0  # of a mel band, dB
PADDING = (FRAMES - 1) * FFT_HOP + FFT - WINDOW  # samples that the last spectrum lacks

LOG_6_4 = math.log(6.4)

FrontEndName = Literal["kapre", "legacy"]
MelScale = Literal["slaney", "htk"]
Hertz = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """What tells one front end from the other."""

    padding: tuple[int, int]  # zeros before and after a window
    mel_scale: MelScale
    power: Literal[1, 2]


RECIPES: dict[FrontEndName, Recipe] = {
    "kapre": Recipe((0, PADDING), "slaney", 1),
    "legacy": Recipe((PADDING // 2, PADDING // 2), "htk", 2),
}


class DecibelMel(nn.Module):
    """Windows ``[n, 48000]`` -> dB ``[n, 1, bands, 199]``, each below the maximum of its own window.

    Parameters
    ----------
    name : {"kapre", "legacy"}
    bands : int
        Mel bands: 256 or 128.
    """

    hann: Tensor
    matrix: Tensor

    def __init__(self, name: FrontEndName, bands: int) -> None:
        super().__init__()
        self.recipe = RECIPES[name]
        self.register_buffer("hann", hann_window())
        self.register_buffer("matrix", mel_matrix(bands, self.recipe.mel_scale))

    def forward(self, windows: Tensor) -> Tensor:
        """Transform windows."""
        decibels = 10.0 * torch.log10(self.mel(windows).clamp_min(FLOOR))
        decibels = decibels - decibels.amax((1, 2), keepdim=True)
        return decibels.clamp_min(-RANGE).transpose(1, 2)[:, None]

    def mel(self, windows: Tensor) -> Tensor:
        """Mel bands of windows ``[n, 48000]``, linear: ``[n, 199, bands]``."""
        frames = F.pad(windows, self.recipe.padding).unfold(-1, FFT, FFT_HOP) * self.hann
        magnitude: Tensor = torch.fft.rfft(frames).abs()
        return magnitude @ self.matrix if self.recipe.power == 1 else (magnitude.square() @ self.matrix).sqrt()


def hann_window() -> Tensor:
    """Periodic Hann window ``[2048]``, evaluated in fp32 step by step as TensorFlow does.

    Above what a recording contains the spectrum is rounding noise, and -80 dB reaches down to it: a more exact window
    is further from the official outputs.
    """
    angle = np.float32(2 * np.pi) * np.arange(FFT, dtype=np.float32) / np.float32(FFT)
    return torch.from_numpy(np.float32(0.5) - np.float32(0.5) * np.cos(angle))


def mel_matrix(bands: int, scale: MelScale) -> Tensor:
    """Triangular filters ``[1025 bins, bands]`` of equal area from 0 Hz to 24 kHz, made in float64 as librosa does.

    On the HTK scale two of 256 filters fall between bins and are empty, as they are in the official matrix.
    """
    to_mel, to_hertz = MEL_SCALES[scale]
    edges = to_hertz(np.linspace(0.0, to_mel(np.array(SAMPLE_RATE / 2)), bands + 2))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    matrix = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (right - left)
    return torch.from_numpy(matrix.astype(np.float32))


def _slaney_mel(hertz: Hertz) -> Hertz:
    """Mel of M. Slaney's Auditory Toolbox: linear up to 1 kHz (15 mel), then 27 mel for a factor of 6.4."""
    return np.minimum(hertz, 1000.0) * 3.0 / 200.0 + 27.0 * np.log(np.maximum(hertz / 1000.0, 1.0)) / LOG_6_4


def _slaney_hertz(mel: Hertz) -> Hertz:
    return np.minimum(mel, 15.0) * 200.0 / 3.0 * np.exp(np.maximum(mel - 15.0, 0.0) * LOG_6_4 / 27.0)


def _htk_mel(hertz: Hertz) -> Hertz:
    return 2595.0 * np.log10(1.0 + hertz / 700.0)


def _htk_hertz(mel: Hertz) -> Hertz:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


MEL_SCALES = {"slaney": (_slaney_mel, _slaney_hertz), "htk": (_htk_mel, _htk_hertz)}
