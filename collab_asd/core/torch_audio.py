"""torchaudio, or one sentence on why it cannot be imported; and the log-mel spectra that are made with it.

torchaudio is compiled against one release of CUDA, and against a library of PyTorch's CUDA build. Beside another
PyTorch its import fails in several ways, none of which says what to do: ``from collab_asd.core.torch_audio import
torchaudio`` does. Log-mel spectra have one set of parameters for whoever needs them, encoder or network.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from collab_asd.core.errors import InputError
from collab_asd.core.releases import install_command, installed_version

try:
    import torchaudio
except (ImportError, OSError, RuntimeError) as error:
    found = " and ".join(f"{name} {installed_version(name)}" for name in ("torch", "torchaudio"))
    why = str(error).split(". ")[0].split("\n")[0].rstrip(".")
    command = install_command("torch", "torchaudio", options="--force-reinstall ")
    raise InputError(
        f"{found} do not work together ({why}); install a pair that does, both from one package index: {command}"
    ) from error

__all__ = ["FFT", "FLOOR", "HOP", "MEL_BANDS", "SAMPLE_RATE", "log_mel", "torchaudio"]


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
