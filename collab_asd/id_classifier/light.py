"""A light ID-classification network: a window's mean frame through three dense layers.

MobileFaceNet treats time and embedding dimension as the axes of an image. The dimensions of an embedding have no order
that a two-dimensional convolution could use, so here they are channels; and what tells one running machine from another
lasts longer than a window, so time is averaged before anything is learned, which removes the noise of single frames. On
`toycar_tune` convolutions over time were worse with random-conv and YAMNet and no better with log-mel frames. What the
order of frames within a window tells is lost: a fault that shows in nothing else needs MobileFaceNet.
"""

from __future__ import annotations

from torch import Tensor, nn

from collab_asd.id_classifier.sizes import EMBEDDING_SIZE
from collab_asd.id_classifier.stages import TwoStages

HIDDEN = 512  # units


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
