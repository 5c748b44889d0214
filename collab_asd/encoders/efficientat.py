"""EfficientAT mn04: a MobileNet over log-mel spectrograms, trained on AudioSet.

F. Schmid, K. Koutini, G. Widmer, "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation",
ICASSP 2023 (code and weights MIT); 1 M parameters, on AudioSet as good as PANNs' CNN14 (mAP 0.432). The network is
MobileNet v3: A. Howard et al., ICCV 2019. The classifier is left out: a frame is a column of the last map, every
320 ms. Squeeze-and-excitation averages over the whole clip, so a frame sees all of it, and clips of one length compare
best.

The network has width 0.4, one input channel and inverted residual blocks. Maps are ``[clips, channels, frequency,
time]``, in the memory order channels last. Every batch norm is folded into the convolution before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.core.torch_audio import torchaudio
from collab_asd.core.types import EncoderSpec
from collab_asd.encoders import PUBLIC_WEIGHTS, EncoderEntry, weights_file
from collab_asd.encoders.checkpoints import (
    NORM,
    Tensors,
    TensorShapes,
    fold,
    read_tensors,
    require_tensors,
    tensors_digest,
)
from collab_asd.encoders.torch_encoder import TorchEncoder
from collab_asd.encoders.weights import WeightSource, provenance

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


def expected_shapes() -> TensorShapes:
    """Shapes of the tensors that a map depends on, by their names in the official checkpoint."""
    shapes, channels = _normed("features.0", (STEM, 1, 3, 3)), STEM
    for i, shape in enumerate(BLOCKS, 1):
        for part, name in _parts(f"features.{i}.block", channels, shape):
            shapes |= _part_shapes(part, name, channels, shape)
        channels = shape.out
    return shapes | _normed(LAST, (CHANNELS, channels, 1, 1))


def ignored_shapes() -> TensorShapes:
    """Shapes of the classifier."""
    return _linear("classifier.2", CHANNELS, HIDDEN) | _linear("classifier.5", HIDDEN, CLASSES)


def _part_shapes(part: str, name: str, channels: int, shape: BlockShape) -> TensorShapes:
    if part == "squeeze":
        return _linear(f"{name}.fc1", shape.inside, shape.squeeze) | _linear(f"{name}.fc2", shape.squeeze, shape.inside)
    kernels = {
        "expand": (shape.inside, channels, 1, 1),
        "depthwise": (shape.inside, 1, shape.kernel, shape.kernel),
        "project": (shape.out, shape.inside, 1, 1),
    }
    return _normed(name, kernels[part])


def _normed(name: str, kernel: tuple[int, ...]) -> TensorShapes:
    """Shapes of a convolution and of the batch norm behind it."""
    return {f"{name}.0.weight": kernel} | {f"{name}.1.{part}": kernel[:1] for part in NORM}


def _linear(name: str, inputs: int, outputs: int) -> TensorShapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


log = logging.getLogger(__name__)

WEIGHTS = WeightSource(
    name="EfficientAT mn04_as",
    url="https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt",
    filename="mn04_as_mAP_432.pt",
    licence="MIT",
    citation="F. Schmid, K. Koutini, G. Widmer, Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge "
    "Distillation, ICASSP 2023",
    sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
    size=4_066_513,
)

SAMPLE_RATE = 32_000  # Hz
FFT, STFT_WINDOW, STFT_HOP = 1024, 800, 320  # samples
MEL_BANDS, MEL_LOW, MEL_HIGH = 128, 0.0, 15_000.0  # Hz
PREEMPHASIS = 0.97
LOG_OFFSET = 1e-5
SHORTEST = 2 * FFT  # samples, enough to be mirrored at both ends
STRIDE = 32  # spectra in a frame
WINDOW = HOP = STRIDE * STFT_HOP  # samples that a frame stands for
STACK, STACK_HOP = 1, 1  # frames; one sees six seconds already, and longer windows score worse


class EfficientAt(TorchEncoder):
    """Encode a clip with pre-trained weights: 32 frames for 10 s.

    Safe to share between threads.

    Parameters
    ----------
    weights : Path
        The official ``mn04_as_mAP_432.pt``; see `WEIGHTS`.
    pooled : bool
        Average a frame's four frequency bands, as the classifier does: 384 dimensions instead of 1536. What is lost
        is where in frequency something sounds, and with it much of what tells one machine from another.

    Raises
    ------
    InputError
        When the file is no checkpoint, is truncated, or holds another model or anything but tensors.
    """

    def __init__(self, weights: Path, *, pooled: bool = False) -> None:
        found = read_tensors(weights)
        tensors = require_tensors(weights, WEIGHTS.name, found, expected_shapes(), ignored_shapes())
        self.pooled = pooled
        self.front_end = LogMel()
        self.network = mobilenet(tensors).eval()
        spec = specification(pooled)
        digest = tensors_digest(f"collab-asd {spec.name} 1", tensors)
        self._spec = replace(spec, digest=digest, note=provenance(WEIGHTS, weights, digest))

    @staticmethod
    def frames(samples: int) -> int:
        """Frames of a clip: at least one; the last may stand for less than 320 ms."""
        spectra = 1 + (max(samples, SHORTEST) - 1) // STFT_HOP
        return -(-spectra // STRIDE)

    def windows(self, waveform: Tensor) -> Tensor:
        """See `TorchEncoder`: the clip as a whole, at 32 kHz."""
        missing = max(0, SHORTEST - len(waveform))
        if missing:
            log.warning("A clip of %d samples is too short for EfficientAT; zeros fill it up", len(waveform))
        return F.pad(waveform, (0, missing))[None]

    def embed(self, windows: Tensor) -> Tensor:
        """Encode clips ``[n, samples]`` into frames ``[n, T, D]``; low bands first."""
        bands = self.maps(windows).permute(0, 3, 2, 1)
        return bands.mean(2) if self.pooled else bands.flatten(2)

    def maps(self, waveforms: Tensor) -> Tensor:
        """Last maps ``[n, 384, 4 bands, T]`` of waveforms ``[n, samples]``."""
        log_mel = torch.stack([self.front_end(waveform) for waveform in waveforms])[:, None]
        with self.autocast():
            maps: Tensor = self.network(log_mel.contiguous(memory_format=torch.channels_last))
        return maps.float()


def specification(pooled: bool) -> EncoderSpec:
    """All of it that no weights are needed for."""
    name, dimension = ("efficientat-pooled", CHANNELS) if pooled else ("efficientat", BANDS * CHANNELS)
    return EncoderSpec(name, SAMPLE_RATE, WINDOW, HOP, dimension, STACK, STACK_HOP, digest="")


class LogMel(nn.Module):
    """Logarithm of mel powers: waveform ``[samples]`` -> ``[128, spectra]``, a spectrum each 10 ms, about [-1.4, 3]."""

    window: Tensor
    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(STFT_WINDOW, periodic=False))
        # The three last arguments warp the filters for a speaker; a factor of 1 does not.
        banks = torchaudio.compliance.kaldi.get_mel_banks
        filters, _ = banks(MEL_BANDS, FFT, SAMPLE_RATE, MEL_LOW, MEL_HIGH, 100.0, -500.0, 1.0)
        self.register_buffer("matrix", F.pad(filters, (0, 1)))  # Kaldi leaves the Nyquist frequency out

    def forward(self, waveform: Tensor) -> Tensor:
        """Transform one waveform."""
        emphasised = waveform[1:] - PREEMPHASIS * waveform[:-1]
        spectra = torch.stft(
            emphasised, FFT, STFT_HOP, STFT_WINDOW, self.window, pad_mode="reflect", return_complex=True
        )
        return (torch.log(self.matrix @ spectra.abs().square() + LOG_OFFSET) + 4.5) / 5.0


def _entry(pooled: bool, kept: str) -> EncoderEntry:
    return EncoderEntry(
        build=lambda config: EfficientAt(weights_file(WEIGHTS, config), pooled=pooled),
        spec=specification(pooled),
        frames=EfficientAt.frames,
        about=f"A MobileNetV3 over log-mel spectra, taught by transformers to tag AudioSet; {kept}.",
        privacy=PUBLIC_WEIGHTS,
        work=0.2,
        weights=lambda config: WEIGHTS,
    )


ENTRY = _entry(False, "in four frequency bands")
POOLED = _entry(True, "averaged over four frequency bands")
