"""What an adversary wants back: the log-mel spectra of the stretch of sound that each shared row stands for.

Estimated spectra become something to listen to. Log-mel spectra hold no phase and few bands. The power of each
frequency is the least-squares one, and phases are those that fit best to it (D. Griffin and J. Lim, "Signal estimation
from modified short-time Fourier transform", IEEE Trans. ASSP 32(2), 1984), both by torchaudio: a listener hears what a
simple adversary would.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import nn

from collab_asd.core.torch_audio import torchaudio
from collab_asd.core.types import EncoderSpec, FloatArray

SAMPLE_RATE = 16_000  # Hz
FFT, MEL_BANDS = 1024, 64
LONGEST_HOP = 512  # samples
FLOOR = 1e-8  # of mel power
ITERATIONS = 32


@dataclass(frozen=True)
class Timing:
    """Which samples, at `SAMPLE_RATE`, each row stands for.

    Parameters
    ----------
    first : int
        Where the stretch of the first row begins.
    length : int
        Samples of one stretch; the next one follows without a gap.
    """

    first: int
    length: int

    @classmethod
    def of(cls, spec: EncoderSpec, pooled: int) -> Timing:
        """Rows of so many frames of f_c each: a frame stands for one hop in the middle of its window."""
        hop, window = (samples * SAMPLE_RATE // spec.sample_rate for samples in (spec.hop, spec.window))
        return cls(max(0, (window - hop) // 2), hop * pooled)

    @property
    def hop(self) -> int:
        """Samples between two spectra: the largest divisor of a stretch that is not above `LONGEST_HOP`."""
        return max(step for step in range(1, LONGEST_HOP + 1) if self.length % step == 0)

    @property
    def spectra(self) -> int:
        """Spectra of one row."""
        return self.length // self.hop


def spectra_of_rows(waveform: FloatArray, timing: Timing, rows: int) -> FloatArray:
    """Log-mel spectra in dB of a clip ``[samples]`` at `SAMPLE_RATE`, row by row -> ``[rows, spectra x MEL_BANDS]``.

    Each spectrum is centred in its part of the stretch. Rows that reach beyond the clip are left out.
    """
    begin = max(0, timing.first + (timing.hop - FFT) // 2)
    power = _mel(timing.hop)(torch.tensor(waveform[begin:]))
    decibels = (10.0 * torch.log10(power.clamp_min(FLOOR))).T.numpy()
    whole = min(rows, len(decibels) // timing.spectra)
    return np.ascontiguousarray(decibels[: whole * timing.spectra]).reshape(whole, -1)


@cache
def _mel(hop: int) -> nn.Module:
    mel: nn.Module = torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, n_fft=FFT, hop_length=hop, n_mels=MEL_BANDS, center=False, power=2.0
    )
    return mel


def sound_of(spectra: FloatArray, hop: int) -> FloatArray:
    """Make a sound of log-mel spectra in dB ``[n, bands]``, so many samples apart -> ``[samples]`` at `SAMPLE_RATE`."""
    power = torch.pow(10.0, torch.tensor(spectra.T.copy()) / 10)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of the phases to begin with
        linear = torchaudio.transforms.InverseMelScale(FFT // 2 + 1, MEL_BANDS, SAMPLE_RATE)(power)
        waveform = torchaudio.transforms.GriffinLim(FFT, ITERATIONS, hop_length=hop, power=2.0)(linear)
    found: FloatArray = waveform.numpy()
    return found
