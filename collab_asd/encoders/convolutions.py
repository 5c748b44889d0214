"""Convolutions of 3 x 3, also by Winograd's minimal filtering, which is faster on a CPU in fp32.

It takes a quarter of the multiplications, in matrix products alone. A tile of 4 x 4 outputs depends on 6 x 6 inputs.
Taken to 36 points each, input and kernel are multiplied point by point; over all tiles and channels that is one matrix
product per point, and the way there and back is a matrix product too. PyTorch's own convolution does not do this on a
CPU.

A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016: F(4 x 4, 3 x 3).
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILE, REACH = 4, 6  # outputs and inputs of a tile, in either direction
POINTS = REACH**2
STRIP = 200  # tiles at once: few enough to stay in the processor's cache

FROM_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
FROM_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
TO_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


class Convolution(nn.Module):
    """Convolution of 3 x 3 that keeps the size, bias, and where wanted ReLU and the maximum over 2 x 2.

    Parameters
    ----------
    weight : Tensor
        ``[out, in, 3, 3]``.
    bias : Tensor
        ``[out]``.
    rectified, pooled : bool
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, *, rectified: bool = True, pooled: bool = False) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.rectified, self.pooled = rectified, pooled

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, in, height, width]`` to ``[n, out, height, width]``, or to half of either; channels last."""
        y = F.conv2d(x, self.weight, self.bias, padding=1)
        y = F.relu_(y) if self.rectified else y
        return F.max_pool2d(y, 2) if self.pooled else y


class Winograd(Convolution):
    """`Convolution` by minimal filtering on a CPU in fp32, and directly elsewhere."""

    @cached_property
    def _transforms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Points of the kernel ``[36, in, out]``, and what brings inputs there and outputs back."""
        weight = self.weight
        points = _both_ways(FROM_KERNEL) @ weight.double().permute(2, 3, 1, 0).flatten(0, 1).flatten(1)
        points = points.view(POINTS, weight.shape[1], weight.shape[0]).to(weight)
        return points, _both_ways(FROM_INPUT).to(weight), _both_ways(TO_OUTPUT).to(weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, in, height, width]`` to ``[n, out, height, width]``, or to half of either; best channels last."""
        if not x.is_cpu or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        x = x.permute(0, 2, 3, 1)
        n, height, width, _ = x.shape
        rows, columns = -(-height // TILE), -(-width // TILE)
        size = TILE // 2 if self.pooled else TILE  # of what a tile gives
        y = x.new_empty(n, rows, size, columns, size, len(self.bias))
        step = max(1, STRIP // (n * columns))
        for row in range(0, rows, step):
            y[:, row : row + step] = self._strip(x, row, min(step, rows - row), columns)
        whole = y.view(n, rows * size, columns * size, -1)
        factor = TILE // size
        return whole[:, : height // factor, : width // factor].permute(0, 3, 1, 2)

    def _strip(self, x: Tensor, row: int, rows: int, columns: int) -> Tensor:
        """Compute some rows of tiles, ``[n, rows, size, columns, size, out]``."""
        n, height, width, channels = x.shape
        points, from_input, to_output = self._transforms
        top, bottom = TILE * row - 1, TILE * (row + rows) + 1
        margin = (0, 0, 1, TILE * columns + 1 - width, max(0, -top), max(0, bottom - height))
        padded = F.pad(x[:, max(0, top) : bottom], margin)
        tiles = padded.unfold(1, REACH, TILE).unfold(2, REACH, TILE).permute(4, 5, 0, 1, 2, 3)
        inputs = (from_input @ tiles.reshape(POINTS, -1)).view(POINTS, -1, channels)
        y = to_output @ torch.bmm(inputs, points).view(POINTS, -1)
        y = y.view(TILE, TILE, n, rows, columns, -1)
        if self.pooled:
            y = torch.maximum(y[0::2], y[1::2])
            y = torch.maximum(y[:, 0::2], y[:, 1::2])
        y += self.bias
        return (y.relu_() if self.rectified else y).permute(2, 3, 0, 4, 1, 5)


def _both_ways(transform: tuple[tuple[float, ...], ...]) -> Tensor:
    """Apply a transform of rows to rows and columns of a flattened matrix, float64."""
    matrix = torch.tensor(transform, dtype=torch.float64)
    return torch.kron(matrix, matrix)
