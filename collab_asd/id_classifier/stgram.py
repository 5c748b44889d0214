"""Networks that hear the recording itself: a spectrum that they learn beside the log-mel spectrum.

Y. Liu, J. Guan, Q. Zhu, W. Wang, "Anomalous sound detection using spectral-temporal information fusion" (STgram-MFN),
ICASSP 2022. A convolution as wide as a Fourier window, and a few narrow ones behind it, make a "Tgram" of the waveform:
as many frames as the log-mel spectrogram and as many channels as it has bands. The two go into one network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.id_classifier.light import LightNet
from collab_asd.id_classifier.mobilefacenet import MobileFaceNet
from collab_asd.id_classifier.stages import TwoStages
from collab_asd.logmel import FFT, HOP, MEL_BANDS, log_mel

LAYERS = 3
SLOPE = 0.2  # of what is below zero


class TgramNet(nn.Module):
    """Waveform ``[B, 1, samples]`` -> ``[B, 128, frames]``, with the framing of `log_mel`."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, MEL_BANDS, FFT, HOP, bias=False)
        self.layers = nn.Sequential(*(_Layer() for _ in range(LAYERS)))

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the learned spectrum."""
        return self.layers(self.filters(waveform))  # type: ignore[no-any-return]


class Stgram(nn.Module):
    """Windows of samples ``[B, 1, stack, 512]`` -> image ``[B, 2, stack - 1, 128]``: log-mel spectrum and Tgram."""

    def __init__(self) -> None:
        super().__init__()
        self.standardize = nn.BatchNorm1d(MEL_BANDS, affine=False)
        self.tgram = TgramNet()

    def forward(self, windows: Tensor) -> Tensor:
        """Put both beside each other, as channels of one image."""
        waveform = windows.flatten(1)
        spectrum = self.standardize(log_mel(waveform).transpose(1, 2))
        return torch.stack([spectrum, self.tgram(waveform.unsqueeze(1))], dim=1).transpose(2, 3)


class _SideBySide(nn.Module):
    """Image ``[B, 2, T, 128]`` -> frames ``[B, 1, T, 256]``."""

    def forward(self, image: Tensor) -> Tensor:
        return image.transpose(1, 2).flatten(2).unsqueeze(1)


def stgram_light() -> TwoStages:
    """Windows of samples ``[B, 1, stack, 512]`` -> ``[B, 128]`` through the light network."""
    return TwoStages(nn.Sequential(Stgram(), _SideBySide()), LightNet(2 * MEL_BANDS))


def stgram_mfn(stack: int) -> TwoStages:
    """Windows of samples ``[B, 1, stack, 512]`` -> ``[B, 128]`` through MobileFaceNet: spectra see two hops each."""
    return TwoStages(Stgram(), MobileFaceNet(stack - 1, MEL_BANDS, maps=2))


class _Layer(nn.Module):
    """Normalize each frame, and let it hear its neighbours: ``[B, 128, frames]`` to the same."""

    def __init__(self) -> None:
        super().__init__()
        # Over channels, so that a channel keeps how loud it is among them; over time, as in the authors' code, was no
        # better on toycar_tune.
        self.norm = nn.LayerNorm(MEL_BANDS)
        self.convolution = nn.Conv1d(MEL_BANDS, MEL_BANDS, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.convolution(F.leaky_relu(normed, SLOPE))  # type: ignore[no-any-return]
