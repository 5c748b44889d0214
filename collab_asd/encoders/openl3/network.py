"""The audio half of Look, Listen and Learn: convolutions over a spectrum, and the reader of its official weights.

In fp32 on a CPU they go by Winograd's minimal filtering: the whole network comes as near to the official outputs as
with direct convolution (2e-6 of the maximum), in little more than half the time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.core.errors import InputError
from collab_asd.encoders.checkpoints import KerasLayer, LayerShapes, read_layers, require_shapes
from collab_asd.encoders.convolutions import Convolution, Winograd
from collab_asd.encoders.openl3.front_end import FFT

CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512)  # of the eight convolutions
POOLED = (1, 3, 5)  # convolutions that a maximum over 2 x 2 follows, counted from 0
BATCH_NORM_EPSILON = 1e-3
PLACES = (4, 3)  # frequencies and times that the long embedding keeps
SHORT, LONG = CHANNELS[-1], PLACES[0] * PLACES[1] * CHANNELS[-1]  # dimensions: 512 and 6144


class Affine(nn.Module):
    """Batch norm of the one input channel; it cannot be folded into the convolution, which pads with zeros after it."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: KerasLayer) -> None:
        super().__init__()
        scale, shift = scale_and_shift(norm)
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))
        self.register_buffer("shift", torch.from_numpy(shift.astype(np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, 1, bands, 199]`` to the same shape."""
        return x * self.scale + self.shift


def build_network(layers: Sequence[KerasLayer]) -> nn.Sequential:
    """Build the network from what `read_openl3` gives, each batch norm folded into the convolution before it.

    Returns
    -------
    nn.Sequential
        dB ``[n, 1, bands, 199]`` -> map ``[n, 512, bands / 8, 24]``. The last convolution has neither norm nor ReLU.
    """
    folded = [fold(*pair) for pair in zip(layers[1::2], [*layers[2::2], None], strict=True)]
    last = len(folded) - 1
    others = [
        Winograd(weight, bias, rectified=number < last, pooled=number in POOLED)
        for number, (weight, bias) in enumerate(folded)
        if number > 0
    ]
    return nn.Sequential(Affine(layers[0]), Convolution(*folded[0]), *others).eval()


def long_embedding(maps: Tensor) -> Tensor:
    """Maxima of maps ``[n, 512, bands / 8, 24]`` in 4 x 3 places -> ``[n, 6144]``: frequency, then time, channel."""
    size = (maps.shape[2] // PLACES[0], maps.shape[3] // PLACES[1])
    return F.max_pool2d(maps, size).permute(0, 2, 3, 1).flatten(1)


def short_embedding(long: Tensor) -> Tensor:
    """Embedding ``[n, 512]`` from the one of ``[n, 6144]``: the maximum of the whole map is that of its places.

    So one pass of the network gives both.
    """
    return long.view(len(long), -1, SHORT).amax(1)


def fold(convolution: KerasLayer, norm: KerasLayer | None) -> tuple[Tensor, Tensor]:
    """Weight ``[out, in, 3, 3]`` and bias ``[out]`` of a convolution and its batch norm."""
    kernel, bias = (array.astype(np.float64) for array in convolution.weights)
    if norm is not None:
        scale, shift = scale_and_shift(norm)
        kernel, bias = kernel * scale, bias * scale + shift
    # Keras stores (frequency, time, in, out).
    weight = kernel.transpose(3, 2, 0, 1).astype(np.float32)
    return torch.from_numpy(weight), torch.from_numpy(bias.astype(np.float32))


def scale_and_shift(norm: KerasLayer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Batch norm as a factor and a summand per channel, float64."""
    gamma, beta, mean, variance = (array.astype(np.float64) for array in norm.weights)
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    return scale, beta - mean * scale


def read_openl3(path: Path, model: str) -> list[KerasLayer]:
    """Read the 16 layers of an official file: batch norm, seven times convolution and batch norm, convolution.

    Parameters
    ----------
    path : Path
        ``openl3_audio_*.h5``, packed or not. Files before 0.4 begin with the front end's own matrices, which are
        checked and left out.
    model : str
        ``"mel256-music"`` and the like.

    Raises
    ------
    InputError
        When the file is no whole Keras 2 weights file, or one of another network, input or content.
    """
    _require_named(path, model)
    layers = read_layers(path)
    front_end = [layer for layer in layers if "spectrogram" in layer.name]
    _require_bands(path, model, front_end)
    layers = [layer for layer in layers if layer not in front_end]
    require_shapes(path, f"OpenL3 {model}", layers, list(expected_shapes()))
    return layers


def expected_shapes() -> Iterator[LayerShapes]:
    """Shapes of the arrays of each layer: four of a batch norm; kernel and bias of a convolution."""
    channels = 1
    for outputs in CHANNELS:
        yield ((channels,),) * 4
        yield ((3, 3, channels, outputs), (outputs,))
        channels = outputs


def weights_digest(architecture: str, layers: Sequence[KerasLayer]) -> str:
    """SHA-256 over the architecture's name and the weights, whatever the file calls its layers."""
    digest = hashlib.sha256(architecture.encode())
    for layer in layers:
        for array in layer.weights:
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def _require_named(path: Path, model: str) -> None:
    """Refuse an official file of another input or content by its name: nothing inside tells them apart since 0.4."""
    named = re.search(r"openl3_(audio|image)_([a-z0-9]+)_(music|env)", path.name)
    if named is not None and named.groups() != ("audio", *model.split("-")):
        found = f"{named[1]} {named[2]}-{named[3]}"
        raise _another_model(path, f"audio {model}", found)


def _require_bands(path: Path, model: str, front_end: Sequence[KerasLayer]) -> None:
    """Compare the mel matrix of an old file, ``[1025, bands]`` either way round, with the model's bands."""
    bands = int(model.removeprefix("mel").split("-")[0])
    for layer in front_end:
        if not any(sorted(shape) == [bands, FFT // 2 + 1] for shape in layer.shapes):
            expected = f"a mel matrix of {FFT // 2 + 1} x {bands} in layer {layer.name!r} for {model}"
            raise _another_model(path, expected, f"arrays of shapes {list(layer.shapes)}")


def _another_model(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        f"{path}: expected OpenL3 weights of {expected}, found {found}; "
        "give the file of that model with --weights, or choose its model with openl3-model"
    )
