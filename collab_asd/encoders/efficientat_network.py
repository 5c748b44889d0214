"""The MobileNet v3 of EfficientAT mn04: width 0.4, one input channel, inverted residual blocks.

Maps are ``[clips, channels, frequency, time]``, in the memory order channels last. Every batch norm is folded into the
convolution before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.encoders.torch_checkpoint import NORM, Shapes, Tensors, fold

EPSILON = 1e-3  # of batch norm
STEM = 8  # channels of the first convolution
CLASSES, HIDDEN = 527, 512


@dataclass(frozen=True)
class BlockShape:
    """An inverted residual block: kernel, channels inside and out, those of its squeeze (0: none), and its stride."""

    kernel: int
    inside: int
    out: int
    squeeze: int = 0
    stride: int = 1
    hard_swish: bool = True


BLOCKS = (
    BlockShape(3, 8, 8, hard_swish=False),
    BlockShape(3, 24, 16, stride=2, hard_swish=False),
    BlockShape(3, 32, 16, hard_swish=False),
    BlockShape(5, 32, 16, squeeze=8, stride=2, hard_swish=False),
    BlockShape(5, 48, 16, squeeze=16, hard_swish=False),
    BlockShape(5, 48, 16, squeeze=16, hard_swish=False),
    BlockShape(3, 96, 32, stride=2),
    BlockShape(3, 80, 32),
    BlockShape(3, 72, 32),
    BlockShape(3, 72, 32),
    BlockShape(3, 192, 48, squeeze=48),
    BlockShape(3, 272, 48, squeeze=72),
    BlockShape(5, 272, 64, squeeze=72, stride=2),
    BlockShape(5, 384, 64, squeeze=96),
    BlockShape(5, 384, 64, squeeze=96),
)
CHANNELS, BANDS = 6 * BLOCKS[-1].out, 4  # of the last map; 128 mel bands, halved five times
LAST = f"features.{len(BLOCKS) + 1}"


class Convolution(nn.Module):
    """Convolution, bias and activation; the padding keeps the size, or halves it (rounded up) with stride 2."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, activation: nn.Module, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.activation = activation
        self.stride, self.padding, self.groups = stride, weight.shape[-1] // 2, groups

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[clips, in, frequency, time]`` to ``[clips, out, frequency, time]``."""
        x = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return self.activation(x)  # type: ignore[no-any-return]


class SqueezeExcitation(nn.Module):
    """Weigh channels by what the clip is on average (J. Hu et al., CVPR 2018)."""

    fc1_weight: Tensor
    fc1_bias: Tensor
    fc2_weight: Tensor
    fc2_bias: Tensor

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        for layer in ("fc1", "fc2"):
            self.register_buffer(f"{layer}_weight", tensors[f"{name}.{layer}.weight"].clone())
            self.register_buffer(f"{layer}_bias", tensors[f"{name}.{layer}.bias"].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        squeezed = F.relu(F.linear(x.mean((2, 3)), self.fc1_weight, self.fc1_bias))
        return x * torch.sigmoid(F.linear(squeezed, self.fc2_weight, self.fc2_bias))[:, :, None, None]


class Residual(nn.Module):
    """Add what goes in to what comes out."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return x + self.block(x)  # type: ignore[no-any-return]


def mobilenet(tensors: Tensors) -> nn.Sequential:
    """Build the network: spectrograms ``[clips, 1, 128, time]`` -> maps ``[clips, 384, 4, time / 32]``."""
    layers: list[nn.Module] = [_convolution(tensors, "features.0", nn.Hardswish(), stride=2)]
    channels = STEM
    for i, shape in enumerate(BLOCKS, 1):
        layers.append(_block(tensors, f"features.{i}.block", channels, shape))
        channels = shape.out
    return nn.Sequential(*layers, _convolution(tensors, LAST, nn.Hardswish()))


def _block(tensors: Tensors, name: str, channels: int, shape: BlockShape) -> nn.Module:
    """Expand, convolve each channel, weigh the channels, project; a shortcut around it where the size is kept."""
    layers: list[nn.Module] = []
    for part, layer in _parts(name, channels, shape):
        activation = nn.Hardswish() if shape.hard_swish else nn.ReLU()
        if part == "depthwise":
            layers.append(_convolution(tensors, layer, activation, shape.stride, groups=shape.inside))
        elif part == "squeeze":
            layers.append(SqueezeExcitation(tensors, layer))
        else:
            layers.append(_convolution(tensors, layer, activation if part == "expand" else nn.Identity()))
    block = nn.Sequential(*layers)
    return Residual(block) if shape.stride == 1 and channels == shape.out else block


def _convolution(tensors: Tensors, name: str, activation: nn.Module, stride: int = 1, groups: int = 1) -> Convolution:
    return Convolution(*fold(tensors, f"{name}.0", f"{name}.1", EPSILON), activation, stride, groups)


def _parts(name: str, channels: int, shape: BlockShape) -> Iterator[tuple[str, str]]:
    """Parts of a block and their names in the checkpoint, which numbers those that are there."""
    parts = ["expand"] * (shape.inside != channels) + ["depthwise"] + ["squeeze"] * (shape.squeeze > 0) + ["project"]
    for i, part in enumerate(parts):
        yield part, f"{name}.{i}.conc_se_layers.0" if part == "squeeze" else f"{name}.{i}"


def expected_shapes() -> Shapes:
    """Shapes of the tensors that a map depends on, by their names in the official checkpoint."""
    shapes, channels = _normed("features.0", (STEM, 1, 3, 3)), STEM
    for i, shape in enumerate(BLOCKS, 1):
        for part, name in _parts(f"features.{i}.block", channels, shape):
            shapes |= _part_shapes(part, name, channels, shape)
        channels = shape.out
    return shapes | _normed(LAST, (CHANNELS, channels, 1, 1))


def ignored_shapes() -> Shapes:
    """Shapes of the classifier."""
    return _linear("classifier.2", CHANNELS, HIDDEN) | _linear("classifier.5", HIDDEN, CLASSES)


def _part_shapes(part: str, name: str, channels: int, shape: BlockShape) -> Shapes:
    if part == "squeeze":
        return _linear(f"{name}.fc1", shape.inside, shape.squeeze) | _linear(f"{name}.fc2", shape.squeeze, shape.inside)
    kernels = {
        "expand": (shape.inside, channels, 1, 1),
        "depthwise": (shape.inside, 1, shape.kernel, shape.kernel),
        "project": (shape.out, shape.inside, 1, 1),
    }
    return _normed(name, kernels[part])


def _normed(name: str, kernel: tuple[int, ...]) -> Shapes:
    """Shapes of a convolution and of the batch norm behind it."""
    return {f"{name}.0.weight": kernel} | {f"{name}.1.{part}": kernel[:1] for part in NORM}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
