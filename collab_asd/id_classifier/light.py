"""A light ID-classification network: convolutions over time that take the dimensions of a frame as channels.

The dimensions of an embedding have no order that a two-dimensional convolution could use, and MobileFaceNet's depthwise
layers are slow on a CPU. Here the first layer is one dense projection of each frame, most of the work is matrix
products, and a window costs about a hundredth of MobileFaceNet's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from collab_asd.id_classifier.sizes import EMBEDDING_SIZE

WIDTH = 128  # channels


class LightNet(nn.Module):
    """Window ``[B, 1, stack, D]`` -> embedding ``[B, 128]``.

    Parameters
    ----------
    dimension : int
        D, size of one frame.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.frame = nn.Linear(dimension, WIDTH, bias=False)
        self.activation = nn.Sequential(nn.BatchNorm1d(WIDTH), nn.ReLU())
        self.temporal = nn.Sequential(_halving(WIDTH), _halving(WIDTH))
        self.projection = nn.Sequential(
            nn.Linear(2 * WIDTH, EMBEDDING_SIZE, bias=False), nn.BatchNorm1d(EMBEDDING_SIZE)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows ``[B, 1, stack, D]`` -> ``[B, 128]``."""
        frames = self.frame(windows.squeeze(1)).transpose(1, 2)
        x = self.temporal(self.activation(frames))
        # The mean tells what sounds all the time, the maximum what happens once in the window.
        pooled = torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)
        return self.projection(pooled)  # type: ignore[no-any-return]


def _halving(channels: int) -> nn.Sequential:
    conv = nn.Conv1d(channels, channels, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm1d(channels), nn.ReLU())
