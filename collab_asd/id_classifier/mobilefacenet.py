"""MobileFaceNet, the paper's ID-classification network (section V-B), over windows of stacked frames.

S. Chen, Y. Liu, X. Gao, Z. Han, "MobileFaceNets: Efficient CNNs for accurate real-time face verification on mobile
devices", arXiv:1804.07573, table 1. A window is an image with one channel, time by embedding dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from collab_asd.id_classifier.sizes import EMBEDDING_SIZE
from collab_asd.id_classifier.stages import TwoStages

# Table 1: expansion factor, output channels, repetitions, stride of the first repetition.
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
STEM, HEAD = 64, 512  # channels before and after the bottlenecks
HALVINGS = 4  # layers with stride 2


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
        stem = (_ChannelsLast(), _conv(maps, STEM, 3, stride=2), _conv(STEM, STEM, 3, groups=STEM))
        for expansion, out, repetitions, stride in BOTTLENECKS:
            stages.append(_stage(channels, out, expansion, repetitions, stride))
            channels = out
        widen = _conv(channels, HEAD, 1)
        # Separate weights for each place of the map: unlike an average, they keep where in the embedding something is.
        spatial = nn.Conv2d(HEAD, HEAD, (map_size(stack), map_size(dimension)), groups=HEAD, bias=False)
        last = (widen, spatial, nn.BatchNorm2d(HEAD), nn.Flatten())
        projection = (nn.Linear(HEAD, EMBEDDING_SIZE, bias=False), nn.BatchNorm1d(EMBEDDING_SIZE))
        super().__init__(nn.Sequential(*stem, stages[0]), nn.Sequential(*stages[1:], *last, *projection))


class _ChannelsLast(nn.Module):
    """Faster depthwise layers on a CPU."""

    def forward(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last)


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
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.PReLU(out))
