"""PANNs Wavegram-Logmel-CNN14, trained on AudioSet, as an encoder: embeddings of 1-s windows every 0.1 s.

Q. Kong et al., IEEE/ACM TASLP 28, 2020 (code MIT, weights CC-BY-4.0). The paper brings its recordings to 32 kHz and has
90 frames of 2048 dimensions for 10 s, of which it stacks 32 with an overlap of 28. A window begins every 0.1 s as long
as *more* than a window of the clip is left: the 91st of a clip of exactly 10 s, which would end where the clip ends, is
not taken. So each window is whole, and 1 s is a multiple of 640 samples, for which the two branches of the network
agree in length. `collab_asd.data.audio.resample` brings clips to 32 kHz, with torchaudio's windowed sinc filter of the
parameters ``kaiser_best``; the official code leaves the filter to the version of librosa.

Wavegram-Logmel-CNN14: a CNN over a log-mel spectrogram and a "wavegram" that is learnt from the waveform.

Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, "PANNs: Large-Scale Pretrained Audio Neural Networks for
Audio Pattern Recognition", IEEE/ACM TASLP 28, 2020. Maps are ``[windows, channels, time, frequency]``, in the memory
order channels last; a waveform is a map of one frequency. Every batch norm but the first is folded into the convolution
before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.core.types import EncoderSpec
from collab_asd.encoders import PUBLIC_WEIGHTS, EncoderEntry, weights_file
from collab_asd.encoders.checkpoints import (
    NORM,
    Tensors,
    TensorShapes,
    fold,
    norm_affine,
    read_tensors,
    require_tensors,
    tensors_digest,
)
from collab_asd.encoders.torch_encoder import TorchEncoder
from collab_asd.encoders.weights import WeightSource, provenance

FFT, STFT_HOP, MEL_BANDS = 1024, 320, 64  # samples, samples, bands
FLOOR = 1e-10  # of mel power
EPSILON = 1e-5  # of batch norm
CLASSES = 527

# Name, input and output channels, number of kernel axes (3 long each) of the blocks of two convolutions.
BLOCKS = (
    ("pre_block1", 64, 64, 1),
    ("pre_block2", 64, 128, 1),
    ("pre_block3", 128, 128, 1),
    ("pre_block4", 4, 64, 2),
    ("conv_block1", 1, 64, 2),
    ("conv_block2", 128, 128, 2),
    ("conv_block3", 128, 256, 2),
    ("conv_block4", 256, 512, 2),
    ("conv_block5", 512, 1024, 2),
    ("conv_block6", 1024, 2048, 2),
)
DIMENSION = BLOCKS[-1][2]


class Convolution(nn.Module):
    """Convolution, bias and ReLU; the padding keeps the size where the stride is 1."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        if weight.ndim == 3:  # a kernel over time alone
            weight = weight[..., None]
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        time, frequency = weight.shape[2:]
        self.stride, self.dilation = (stride, 1), (dilation, 1)
        self.padding = (dilation * (time // 2), frequency // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[windows, in, time, frequency]`` to ``[windows, out, time, frequency]``."""
        return F.relu_(F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation))


class SmallMapConvolution(nn.Module):
    """`Convolution` of 3 x 3 as nine matrix products, for maps of a few columns and many channels.

    There oneDNN is up to eight times as slow: it rearranges the kernel in each call. Products also leave out what lies
    on the padding, which is half of the kernel for maps of 3 x 2.
    """

    kernel: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", weight.permute(2, 3, 1, 0).contiguous())
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[windows, in, time, frequency]`` to ``[windows, out, time, frequency]``."""
        x = x.permute(0, 2, 3, 1)
        out = self.bias.expand(*x.shape[:3], -1).clone()
        for i, (seen_time, time) in enumerate(_shifts(x.shape[1])):
            for j, (seen_frequency, frequency) in enumerate(_shifts(x.shape[2])):
                part = out[:, time, frequency]
                part += (x[:, seen_time, seen_frequency].flatten(0, 2) @ self.kernel[i, j]).view_as(part)
        return F.relu_(out).permute(0, 3, 1, 2)


def _shifts(size: int) -> Iterator[tuple[slice, slice]]:
    """Yield what each of three kernel positions sees of an axis, and for which outputs."""
    for shift in (-1, 0, 1):
        yield slice(max(0, shift), size + min(0, shift)), slice(max(0, -shift), size - max(0, shift))


class LogMel(nn.Module):
    """Windows ``[windows, samples]`` -> mel powers in dB ``[windows, time, 64]``, a frame each 10 ms, centred."""

    hann: Tensor
    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("hann", torch.hann_window(FFT, periodic=True))
        self.register_buffer("matrix", matrix)

    def power(self, windows: Tensor) -> Tensor:
        """Power spectra ``[windows, time, 513]``; the signal goes on mirrored before its start and after its end."""
        spectra = torch.stft(windows, FFT, STFT_HOP, window=self.hann, pad_mode="reflect", return_complex=True)
        return spectra.abs().square().transpose(1, 2)

    def forward(self, windows: Tensor) -> Tensor:
        """Transform windows; never in bf16, which would leave three digits of a power."""
        with torch.autocast(windows.device.type, enabled=False):
            return 10.0 * torch.log10((self.power(windows) @ self.matrix).clamp_min(FLOOR))


class Wavegram(nn.Module):
    """Windows ``[windows, samples]`` -> 64 maps of the size of the pooled log-mel spectrogram's.

    The 128 channels of the convolutions over time become 4 maps of 32 "frequencies".
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.pre_conv0 = Convolution(*fold(tensors, "pre_conv0", "pre_bn0", EPSILON), stride=5)
        self.pre_blocks = nn.ModuleList(
            _block(tensors, f"pre_block{i}", nn.MaxPool2d((4, 1)), dilation=2) for i in (1, 2, 3)
        )
        self.pre_block4 = _block(tensors, "pre_block4", nn.AvgPool2d((2, 1)))

    def forward(self, windows: Tensor) -> Tensor:
        """Transform windows."""
        x: Tensor = self.pre_conv0(windows[:, None, :, None])
        for block in self.pre_blocks:
            x = block(x)
        return self.pre_block4(as_maps(x))  # type: ignore[no-any-return]


def as_maps(x: Tensor) -> Tensor:
    """Rearrange channels ``[windows, 128, time, 1]`` as ``[windows, 4, time, 32]``."""
    maps = x[..., 0].reshape(len(x), 4, 32, -1).transpose(2, 3)
    return maps.contiguous(memory_format=torch.channels_last)


class WavegramLogmelCnn14(nn.Module):
    """Windows ``[windows, samples]`` at 32 kHz -> embeddings ``[windows, 2048]``, not negative.

    The two branches give maps of one length for multiples of 640 samples, and for few other lengths.
    """

    scale: Tensor
    shift: Tensor
    fc_weight: Tensor
    fc_bias: Tensor

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.log_mel = LogMel(tensors["logmel_extractor.melW"].clone())
        scale, shift = norm_affine(tensors, "bn0", EPSILON)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.wavegram = Wavegram(tensors)
        self.conv_block1 = _block(tensors, "conv_block1", nn.AvgPool2d(2))
        self.conv_block2 = _block(tensors, "conv_block2", nn.AvgPool2d(2))
        self.trunk = nn.Sequential(
            _block(tensors, "conv_block3", nn.AvgPool2d(2)),
            _block(tensors, "conv_block4", nn.AvgPool2d(2)),
            _small_map_block(tensors, "conv_block5", nn.AvgPool2d(2)),
            _small_map_block(tensors, "conv_block6", nn.Identity()),
        )
        self.register_buffer("fc_weight", tensors["fc1.weight"].clone())
        self.register_buffer("fc_bias", tensors["fc1.bias"].clone())

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows."""
        return self.head(self.maps(windows))

    def maps(self, windows: Tensor) -> Tensor:
        """Make the last maps ``[windows, 2048, time, 2]``, one each 320 ms."""
        return self.trunk(self.conv_block2(self.branches(windows)))  # type: ignore[no-any-return]

    def branches(self, windows: Tensor) -> Tensor:
        """Make the maps of both branches ``[windows, 128, time, 32]``, one each 20 ms."""
        normalised = self.normalise(self.log_mel(windows))
        return torch.cat((self.conv_block1(normalised[:, None]), self.wavegram(windows)), 1)

    def head(self, maps: Tensor) -> Tensor:
        """Pool last maps into embeddings ``[windows, 2048]``."""
        pooled = maps.mean(3)
        return F.relu(F.linear(pooled.amax(2) + pooled.mean(2), self.fc_weight, self.fc_bias))

    def normalise(self, decibels: Tensor) -> Tensor:
        """Apply the batch norm of the mel bands, which zeros around the map keep from being folded."""
        return torch.addcmul(self.shift, decibels, self.scale)


def _block(tensors: Tensors, name: str, pooling: nn.Module, dilation: int = 1) -> nn.Sequential:
    """Two convolutions, the second of them dilated in time, and pooling."""
    return nn.Sequential(
        Convolution(*fold(tensors, f"{name}.conv1", f"{name}.bn1", EPSILON)),
        Convolution(*fold(tensors, f"{name}.conv2", f"{name}.bn2", EPSILON), dilation=dilation),
        pooling,
    )


def _small_map_block(tensors: Tensors, name: str, pooling: nn.Module) -> nn.Sequential:
    first, second = (fold(tensors, f"{name}.conv{i}", f"{name}.bn{i}", EPSILON) for i in (1, 2))
    return nn.Sequential(SmallMapConvolution(*first), SmallMapConvolution(*second), pooling)


def expected_shapes() -> TensorShapes:
    """Shapes of the tensors that an embedding depends on, by their names in the official checkpoint."""
    shapes: TensorShapes = {"logmel_extractor.melW": (FFT // 2 + 1, MEL_BANDS)}
    shapes |= {f"bn0.{part}": (MEL_BANDS,) for part in NORM}
    for convolution, norm, kernel in _convolutions():
        shapes[f"{convolution}.weight"] = kernel
        shapes |= {f"{norm}.{part}": kernel[:1] for part in NORM}
    return shapes | {"fc1.weight": (DIMENSION, DIMENSION), "fc1.bias": (DIMENSION,)}


def ignored_shapes() -> TensorShapes:
    """Shapes of the classifier and of the discrete Fourier transform, which the official code does by convolution."""
    shapes: TensorShapes = {
        f"spectrogram_extractor.stft.conv_{part}.weight": (513, 1, FFT) for part in ("real", "imag")
    }
    return shapes | {"fc_audioset.weight": (CLASSES, DIMENSION), "fc_audioset.bias": (CLASSES,)}


def _convolutions() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Names of convolution and batch norm, and the kernel's shape."""
    yield "pre_conv0", "pre_bn0", (64, 1, 11)
    for name, inputs, outputs, axes in BLOCKS:
        yield f"{name}.conv1", f"{name}.bn1", (outputs, inputs, *(3,) * axes)
        yield f"{name}.conv2", f"{name}.bn2", (outputs, outputs, *(3,) * axes)


log = logging.getLogger(__name__)

WEIGHTS = WeightSource(
    name="PANNs Wavegram-Logmel-CNN14",
    url="https://zenodo.org/record/3987831/files/Wavegram_Logmel_Cnn14_mAP%3D0.439.pth?download=1",
    filename="Wavegram_Logmel_Cnn14_mAP=0.439.pth",
    licence="CC-BY-4.0",
    citation="Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, PANNs: Large-Scale Pretrained Audio Neural "
    "Networks for Audio Pattern Recognition, IEEE/ACM TASLP 28, 2020",
    md5="17fa9ab65af3c0eb5ffbc5f65552c4e1",
)

SAMPLE_RATE = 32_000  # Hz
WINDOW, HOP = 32_000, 3_200  # samples
STACK, STACK_HOP = 32, 4  # frames

SPEC = EncoderSpec("panns", SAMPLE_RATE, WINDOW, HOP, DIMENSION, STACK, STACK_HOP, digest="")
"""All of it that no weights are needed for."""
COLUMN = 640  # samples to a column of the map that both branches give
BATCH = 30  # windows; three batches for 10 s


class Panns(TorchEncoder):
    """Encode a clip with pre-trained weights: 90 frames of 2048 dimensions for 10 s.

    What overlapping windows share is computed once, see `embed_windows`. A batch holds windows of one clip alone, so
    that a frame depends on nothing but its own clip. Safe to share between threads.

    Parameters
    ----------
    weights : Path
        The official ``Wavegram_Logmel_Cnn14_mAP=0.439.pth``; see `WEIGHTS`.

    Raises
    ------
    InputError
        When the file is no checkpoint, is truncated, or holds another model or anything but tensors and arrays.
    """

    def __init__(self, weights: Path) -> None:
        found = read_tensors(weights)
        tensors = require_tensors(weights, WEIGHTS.name, found, expected_shapes(), ignored_shapes())
        self.network = WavegramLogmelCnn14(tensors).eval()
        digest = tensors_digest("collab-asd panns 1", tensors)
        self._spec = replace(SPEC, digest=digest, note=provenance(WEIGHTS, weights, digest))

    @staticmethod
    def frames(samples: int) -> int:
        """Windows of a clip: at least one; zeros fill up a clip that is shorter."""
        return max(1, -(-(samples - WINDOW) // HOP))

    def windows(self, waveform: Tensor) -> Tensor:
        """See `TorchEncoder`: the clip as a whole, at 32 kHz, without what is no whole window."""
        samples = len(waveform)
        if samples < WINDOW:
            log.warning("A clip of %.2f s is shorter than a window of PANNs; zeros fill it up to 1 s", samples / 32e3)
        padded = F.pad(waveform, (0, max(0, WINDOW - samples)))
        return padded[None, : WINDOW + (self.frames(samples) - 1) * HOP]

    def embed(self, windows: Tensor) -> Tensor:
        """Encode clips ``[n, samples]`` into frames ``[n, T, 2048]``."""
        with self.autocast():
            return torch.stack([torch.cat(list(embed_windows(self.network, clip))) for clip in windows])


def embed_windows(network: WavegramLogmelCnn14, clip: Tensor) -> Iterator[Tensor]:
    """Embed the overlapping windows of a clip ``[samples]`` of whole windows, in batches ``[w, 2048]``.

    Near a window's ends the network sees that it ends: spectra mirror the signal and convolutions pad with zeros. What
    is further inside is the same in all windows that hold it, and is computed once for the clip; the ends are computed
    for each window, from as much of it as they depend on. This goes up to the first pooling behind the two branches,
    after which windows no longer share a grid. The embeddings are those of the windows one by one, for two thirds of
    the multiplications.
    """
    convolutions, pooling = network.conv_block2[:-1], network.conv_block2[-1]
    branches = network.branches(clip[None])
    parts = clip.unfold(0, WINDOW, HOP), _windows(branches), _windows(convolutions(branches))
    for windows, maps, convolved in zip(*(torch.split(part, BATCH) for part in parts), strict=True):
        start, end = windows[:, : 4 * COLUMN], windows[:, -4 * COLUMN :]
        maps = _with_ends(maps, network.branches(start)[:, :, :2], network.branches(end)[:, :, -2:])
        start, end = maps[:, :, :6], maps[:, :, -6:]
        convolved = _with_ends(convolved, convolutions(start)[:, :, :4], convolutions(end)[:, :, -4:])
        yield network.head(network.trunk(pooling(convolved)))


def _windows(maps: Tensor) -> Tensor:
    """Cut maps of a clip ``[1, channels, time, frequency]`` into those of windows ``[w, channels, 50, frequency]``."""
    return maps[0].unfold(1, WINDOW // COLUMN, HOP // COLUMN).permute(1, 0, 3, 2)


def _with_ends(maps: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Copy maps ``[w, channels, time, frequency]``, with other columns at the start and the end of time."""
    inside = maps[:, :, start.shape[2] : -end.shape[2]]
    return torch.cat((start, inside, end), 2).contiguous(memory_format=torch.channels_last)


ENTRY = EncoderEntry(
    build=lambda config: Panns(weights_file(WEIGHTS, config)),
    spec=SPEC,
    frames=Panns.frames,
    about="A CNN of 14 layers over log-mel and learnt spectra of 1 s, trained to tag the sounds of AudioSet.",
    privacy=PUBLIC_WEIGHTS,
    work=18.0,
    weights=lambda config: WEIGHTS,
)
