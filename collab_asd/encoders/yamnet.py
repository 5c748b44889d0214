"""YAMNet: a MobileNet over log-mel patches of 0.96 s, trained on AudioSet.

M. Plakal, D. Ellis, "YAMNet", tensorflow/models, research/audioset/yamnet (2019; code and weights Apache-2.0). The
network is MobileNet v1: A. G. Howard et al., "MobileNets", arXiv:1704.04861. The classifier is left out: a frame is the
1024-d mean over time and frequency of what the last layer gives for one patch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.core.types import EncoderSpec, FloatArray
from collab_asd.encoders import PUBLIC_WEIGHTS, EncoderEntry, weights_file
from collab_asd.encoders.checkpoints import KerasLayer, LayerShapes, read_layers, require_shapes
from collab_asd.encoders.torch_encoder import TorchEncoder, htk_triangles
from collab_asd.encoders.weights import WeightSource, provenance

WEIGHTS = WeightSource(
    name="YAMNet",
    url="https://storage.googleapis.com/audioset/yamnet.h5",
    filename="yamnet.h5",
    licence="Apache-2.0",
    citation="M. Plakal, D. Ellis, YAMNet, tensorflow/models, research/audioset/yamnet, 2019",
    # Google publishes no hash; a dozen unrelated public repositories pin this one for the official address.
    sha256="13c3308955bbfaef262f175ac9c40e47b134573a93984f009220dd7cc12a1744",
    size=15_296_092,
)

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP = 15_600, 7_680  # samples that one patch sees, and between two patches
STFT_WINDOW, STFT_HOP, FFT = 400, 160, 512  # samples
MEL_BANDS, MEL_LOW, MEL_HIGH = 64, 125.0, 7_500.0  # Hz
LOG_OFFSET = 0.001
PATCH, PATCH_HOP = 96, 48  # spectrogram frames
BATCH_NORM_EPSILON = 1e-4
CLASSES = 521

# Output channels and stride of the 14 layers: the first a full 3x3 convolution, the others depthwise-separable.
LAYERS = ((32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
DIMENSION = LAYERS[-1][0]

SPEC = EncoderSpec("yamnet", SAMPLE_RATE, WINDOW, HOP, DIMENSION, stack=8, stack_hop=1, digest="")
"""All of it that no weights are needed for."""


class YamNet(TorchEncoder):
    """Encode a clip with pre-trained YAMNet weights: 20 frames of 1024 dimensions for 10 s.

    On a CPU one clip is one batch. Safe to share between threads.

    Parameters
    ----------
    weights : Path
        The official ``yamnet.h5``, with or without its classifier; see `WEIGHTS`.

    Raises
    ------
    InputError
        When the file is not HDF5, is truncated, or holds another model.
    """

    batch = 100_000  # patches: a clip is one batch, however long

    def __init__(self, weights: Path) -> None:
        layers = read_yamnet(weights)
        self.front_end = LogMel()
        self.network = folded_network(layers)
        digest = weights_digest(layers)
        self._spec = replace(SPEC, digest=digest, note=provenance(WEIGHTS, weights, digest))

    @staticmethod
    def frames(samples: int) -> int:
        """Patches of a clip: at least one; zeros fill up the last."""
        return 1 + max(0, -(-(samples - WINDOW) // HOP))

    def windows(self, waveform: Tensor) -> Tensor:
        """Cut one clip ``[samples]`` at 16 kHz into log-mel patches ``[T, 1, 96, 64]``."""
        missing = WINDOW + (self.frames(len(waveform)) - 1) * HOP - len(waveform)
        log_mel: Tensor = self.front_end(F.pad(waveform, (0, missing)))
        return log_mel.unfold(0, PATCH, PATCH_HOP).transpose(1, 2)[:, None]

    def embed(self, windows: Tensor) -> Tensor:
        """Encode patches ``[n, 1, 96, 64]`` into frames ``[n, 1024]``."""
        with self.autocast():
            maps: Tensor = self.network(windows)
        return maps.float().mean((2, 3))


class LogMel(nn.Module):
    """Logarithm of mel magnitudes: waveform ``[samples]`` -> ``[frames, 64]``, a frame each 10 ms, without padding."""

    window: Tensor
    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(STFT_WINDOW, periodic=True))
        self.register_buffer("matrix", torch.from_numpy(mel_matrix()))

    def forward(self, waveform: Tensor) -> Tensor:
        """Transform one waveform."""
        frames = waveform.unfold(0, STFT_WINDOW, STFT_HOP) * self.window
        magnitude = torch.fft.rfft(frames, n=FFT).abs()
        return torch.log(magnitude @ self.matrix + LOG_OFFSET)


def mel_matrix() -> FloatArray:
    """Triangular filters ``[257 bins, 64 bands]``: linear on the HTK mel scale, no area normalisation, DC left out."""
    matrix = htk_triangles(SAMPLE_RATE, FFT, MEL_BANDS, MEL_LOW, MEL_HIGH)
    matrix[0] = 0.0
    return np.asarray(matrix, dtype=np.float32)


class Convolution(nn.Module):
    """Convolution, bias and ReLU; the padding keeps the size, or halves it with stride 2."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int) -> None:
        super().__init__()
        # Channels last is 1.4 (one thread) to 1.9 times (two) as fast as channels first on AVX-512 cores.
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.stride, self.padding = stride, weight.shape[-1] // 2
        # Only depthwise kernels have one input channel, but for the first layer, where the input has one too.
        self.depthwise = weight.shape[1] == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[patches, in, time, mel]`` to ``[patches, out, time, mel]``."""
        groups = x.shape[1] if self.depthwise else 1
        return F.relu_(F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=groups))


class Reversed(nn.Module):
    """Reverse time and frequency of patches ``[patches, channels, time, mel]``, in the memory order channels last.

    TensorFlow pads a convolution of stride 2 at the end of an even axis only. With input and kernels reversed this is
    the padding of one on either side that PyTorch has without a copy, and the mean over the last map is the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Reverse the two last axes."""
        return x.flip(2, 3).contiguous(memory_format=torch.channels_last)


def folded_network(layers: Sequence[KerasLayer]) -> nn.Sequential:
    """Build the network from pairs of a convolution and its batch norm, which is folded into it.

    Returns
    -------
    nn.Sequential
        Patches ``[patches, 1, 96, 64]`` -> maps ``[patches, 1024, 3, 2]``, reversed in time and frequency.
    """
    convolutions = [
        Convolution(*fold(kernel, norm), stride)
        for kernel, norm, stride in zip(layers[::2], layers[1::2], strides(), strict=True)
    ]
    return nn.Sequential(Reversed(), *convolutions).eval()


def fold(convolution: KerasLayer, norm: KerasLayer) -> tuple[Tensor, Tensor]:
    """Weight ``[out, in / groups, height, width]``, reversed (see `Reversed`), and bias ``[out]`` of both."""
    (kernel,), (beta, mean, variance) = convolution.weights, norm.weights
    scale = 1.0 / np.sqrt(variance.astype(np.float64) + BATCH_NORM_EPSILON)
    # Keras stores (height, width, in, out), or (height, width, channels, 1) for a depthwise kernel.
    order = (2, 3, 0, 1) if kernel.shape[3] == 1 else (3, 2, 0, 1)
    weight = kernel.transpose(order)[:, :, ::-1, ::-1] * scale[:, None, None, None]
    return torch.from_numpy(weight.astype(np.float32)), torch.from_numpy((beta - mean * scale).astype(np.float32))


def strides() -> Iterator[int]:
    """Strides of the 27 convolutions; in a separable layer the depthwise one strides, not the pointwise one."""
    yield LAYERS[0][1]
    for _, stride in LAYERS[1:]:
        yield from (stride, 1)


def read_yamnet(path: Path) -> list[KerasLayer]:
    """Read the 27 convolutions, each followed by its batch norm; a classifier at the end is checked and left out."""
    layers = read_layers(path)
    expected = list(expected_shapes())
    has_classifier = len(layers) == len(expected) + 1
    classifier: LayerShapes = ((DIMENSION, CLASSES), (CLASSES,))
    require_shapes(path, WEIGHTS.name, layers, [*expected, classifier] if has_classifier else expected)
    return layers[: len(expected)]


def expected_shapes() -> Iterator[LayerShapes]:
    """Shapes of the arrays of each layer: a kernel, then beta, moving mean and variance (there is no gamma)."""
    channels = LAYERS[0][0]
    yield from (((3, 3, 1, channels),), ((channels,),) * 3)
    for outputs, _ in LAYERS[1:]:
        yield from (((3, 3, channels, 1),), ((channels,),) * 3)
        yield from (((1, 1, channels, outputs),), ((outputs,),) * 3)
        channels = outputs


def weights_digest(layers: Sequence[KerasLayer]) -> str:
    """SHA-256 over the architecture's name and the weights, whatever the file calls its layers."""
    digest = hashlib.sha256(b"collab-asd yamnet 1")
    for layer in layers:
        for array in layer.weights:
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


ENTRY = EncoderEntry(
    build=lambda config: YamNet(weights_file(WEIGHTS, config)),
    spec=SPEC,
    frames=YamNet.frames,
    about="A MobileNet over log-mel patches of 0.96 s, trained to tag the sounds of AudioSet.",
    privacy=PUBLIC_WEIGHTS,
    work=0.3,
    weights=lambda config: WEIGHTS,
)
