"""Log-mel spectra: one set of parameters for whoever needs them, encoder or network."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from collab_asd.core.torch_audio import torchaudio

SAMPLE_RATE = 16_000  # Hz
FFT, HOP = 1024, 512  # samples
MEL_BANDS = 128
FLOOR = 1e-10  # of mel power, -100 dB relative to 1


@torch.no_grad()
def log_mel(waveforms: Tensor) -> Tensor:
    """Waveforms ``[..., samples]`` at 16 kHz -> 128 log-mel powers in dB every 32 ms, ``[..., T, 128]``.

    Frames lie wholly inside the waveform: T = 1 + (samples - 1024) // 512. No gradient flows through.
    """
    power = _mel(waveforms.device)(waveforms)
    return (10.0 * torch.log10(power.clamp_min(FLOOR))).transpose(-2, -1).contiguous()


@cache
def _mel(device: torch.device) -> nn.Module:
    mel: nn.Module = torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, n_fft=FFT, hop_length=HOP, n_mels=MEL_BANDS, center=False, power=2.0
    )
    return mel.to(device)
