"""The networks of the ID classifier, each in two parts: what split learning leaves at the client, and the rest.

MobileFaceNet is the paper's ID-classification network (section V-B), over windows of stacked frames.

S. Chen, Y. Liu, X. Gao, Z. Han, "MobileFaceNets: Efficient CNNs for accurate real-time face verification on mobile
devices", arXiv:1804.07573, table 1. A window is an image with one channel, time by embedding dimension.

The light network takes a window's mean frame through three dense layers. MobileFaceNet treats time and embedding
dimension as the axes of an image. The dimensions of an embedding have no order that a two-dimensional convolution could
use, so here they are channels; and what tells one running machine from another lasts longer than a window, so time is
averaged before anything is learned, which removes the noise of single frames. On `toycar_tune` convolutions over time
were worse with random-conv and YAMNet and no better with log-mel frames. What the order of frames within a window tells
is lost: a fault that shows in nothing else needs MobileFaceNet.

Networks that hear the recording itself: a spectrum that they learn beside the log-mel spectrum.

Y. Liu, J. Guan, Q. Zhu, W. Wang, "Anomalous sound detection using spectral-temporal information fusion" (STgram-MFN),
ICASSP 2022. A convolution as wide as a Fourier window, and a few narrow ones behind it, make a "Tgram" of the waveform:
as many frames as the log-mel spectrogram and as many channels as it has bands. The two go into one network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.core.torch_audio import FFT, HOP, MEL_BANDS, log_mel

EMBEDDING_SIZE = 128  # d, of one window (MobileFaceNet, table 1)
# Table 1: expansion factor, output channels, repetitions, stride of the first repetition.
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
STEM, HEAD = 64, 512  # channels before and after the bottlenecks
HALVINGS = 4  # layers with stride 2
HIDDEN = 512  # units
LAYERS = 3
SLOPE = 0.2  # of what is below zero


class TwoStages(nn.Module):
    """Window ``[B, 1, stack, D]`` -> ``first`` -> activations -> ``rest`` -> embedding ``[B, 128]``.

    Only split learning cares where the cut is; everywhere else this is one network.

    Parameters
    ----------
    first, rest : nn.Module
    """

    def __init__(self, first: nn.Module, rest: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = first, rest

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows ``[B, 1, stack, D]`` -> ``[B, 128]``."""
        return self.rest(self.first(windows))  # type: ignore[no-any-return]


def map_size(length: int) -> int:
    """Length of the last feature map along an axis of the input: each stride-2 layer halves it, rounding up."""
    return (length + (1 << HALVINGS) - 1) >> HALVINGS


class MobileFaceNet(TwoStages):
    """Image ``[B, maps, stack, D]`` -> embedding ``[B, 128]``; its first stage ends with 64 maps of a quarter the size.

    Parameters
    ----------
    stack : int
        Frames in one window.
    dimension : int
        D, size of one frame. The global depthwise convolution covers whatever map the two leave.
    maps : int
        Channels of the image; that of embeddings has one.
    """

    def __init__(self, stack: int, dimension: int, maps: int = 1) -> None:
        stages: list[nn.Module] = []
        channels = STEM
        # The first does nothing: layers of saved models are found by their numbers.
        stem = (nn.Identity(), _conv(maps, STEM, 3, stride=2), _conv(STEM, STEM, 3, groups=STEM))
        for expansion, out, repetitions, stride in BOTTLENECKS:
            stages.append(_stage(channels, out, expansion, repetitions, stride))
            channels = out
        widen = _conv(channels, HEAD, 1)
        # Separate weights for each place of the map: unlike an average, they keep where in the embedding something is.
        spatial = nn.Conv2d(HEAD, HEAD, (map_size(stack), map_size(dimension)), groups=HEAD, bias=False)
        last = (widen, spatial, nn.BatchNorm2d(HEAD), nn.Flatten())
        projection = (nn.Linear(HEAD, EMBEDDING_SIZE, bias=False), nn.BatchNorm1d(EMBEDDING_SIZE))
        super().__init__(_ChannelsLast(*stem, stages[0]), _ChannelsLast(*stages[1:], *last, *projection))


class _ChannelsLast(nn.Sequential):
    """Layers that get their images laid out channels last: faster depthwise layers on a CPU."""

    def forward(self, images: Tensor) -> Tensor:
        laid = images.contiguous(memory_format=torch.channels_last)
        if laid.stride(1) != 1:  # images of one channel are contiguous in both layouts, and were left as they are
            laid = torch.empty_like(images, memory_format=torch.channels_last).copy_(images)
        return super().forward(laid)  # type: ignore[no-any-return, no-untyped-call]


def _stage(channels: int, out: int, expansion: int, repetitions: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, out, expansion, stride)
    return nn.Sequential(first, *(Bottleneck(out, out, expansion, 1) for _ in range(repetitions - 1)))


class Bottleneck(nn.Module):
    """Inverted residual: widen, filter each channel, narrow without an activation."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.residual = stride == 1 and channels == out
        self.layers = nn.Sequential(
            _conv(channels, wide, 1),
            _conv(wide, wide, 3, stride=stride, groups=wide),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Filter feature maps ``[B, channels, height, width]``."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def _conv(channels: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), _PReLU(out))


class _PReLU(nn.PReLU):
    """PReLU of feature maps ``[B, channels, height, width]``; PyTorch's own gradient is slow on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return _PReLUFunction.apply(x, self.weight)  # type: ignore[no-any-return]


class _PReLUFunction(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, slopes: Tensor) -> Tensor:
        context.save_for_backward(x, slopes)
        return F.prelu(x, slopes)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (x, slopes), (gradient,) = context.saved_tensors, gradients
        above = torch.ops.aten.threshold_backward(gradient, x, 0)
        below = gradient - above
        whole = above.addcmul_(below, slopes.view(1, -1, 1, 1))  # in place: memory of this size is slow to come by
        return whole, below.mul_(x).sum(dim=(0, 2, 3))


class LightNet(TwoStages):
    """Window ``[B, 1, stack, D]`` -> embedding ``[B, 128]``; its first stage ends with 512 numbers per window.

    Parameters
    ----------
    dimension : int
        D, size of one frame.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(
            first=nn.Sequential(_MeanFrame(), *_dense(dimension)),
            rest=nn.Sequential(
                *_dense(HIDDEN), nn.Linear(HIDDEN, EMBEDDING_SIZE, bias=False), nn.BatchNorm1d(EMBEDDING_SIZE)
            ),
        )


class _MeanFrame(nn.Module):
    def forward(self, windows: Tensor) -> Tensor:
        return windows.mean(dim=(1, 2))


def _dense(inputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU()


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
