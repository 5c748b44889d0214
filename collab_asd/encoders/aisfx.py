"""aiSFX: a network of eight convolutions over log-mel spectrograms, trained on libraries of sound effects.

A. B. Ma, A. Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries", ISMIR 2022; package
`aisfx` 0.1.2 (code MIT, weights CC BY 4.0). The weights come inside the package, a wheel of 23 MB, so whoever reaches a
package index has them. The wheel is read as an archive: it is never installed, and nothing in it is run.

The spectra follow Essentia, which the network was trained with, and not the package's stand-in by librosa, which scales
each recording to its own peak. The classifiers of nine libraries are left out: a frame is the embedding of 100 spectra
(2.3 s), the maximum over time of the last map's mean over frequency, and the next begins half of that later, as
published. Moving by a tenth costs five times as much and detected no better.

`aisfx` is the embedding as published. `aisfx-bands` takes the mean within each of four frequency bands: where in
frequency something sounds is much of what tells one machine from another.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
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
    read_tensors,
    require_tensors,
    tensors_digest,
)
from collab_asd.encoders.convolutions import Convolution
from collab_asd.encoders.torch_encoder import TorchEncoder, htk_triangles
from collab_asd.encoders.weights import WeightSource, provenance

log = logging.getLogger(__name__)

WEIGHTS = WeightSource(
    name="aiSFX",
    url="https://github.com/alisonbma/aisfx",
    filename="aisfx-0.1.2-py2.py3-none-any.whl",
    licence="CC-BY-4.0",
    citation="A. B. Ma, A. Lerch, Representation Learning for the Automatic Indexing of Sound Effects Libraries, "
    "ISMIR 2022",
    sha256="bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
    size=23_140_952,
    requirement="aisfx==0.1.2",
)
CHECKPOINT = "aisfx/models/checkpoint.pth"  # in the wheel

SAMPLE_RATE = 44_100  # Hz
FFT, FFT_HOP, MEL_BANDS = 2048, 1024, 96  # samples, samples, bands
SCALE = 1e4  # of a mel power, to which one is added before the logarithm
BRIGHTEST = 9.457798957824707  # largest logarithm in the training data, which divides all
BLOCK, BLOCK_HOP = 100, 50  # spectra of one frame, and between two
EPSILON = 1e-5  # of batch norm
CHANNELS = (64, 128, 256, 512)  # of four blocks of two convolutions; the first three end in a maximum over 2 x 2
CLASSES = (78, 79, 69, 81, 10, 27, 3, 23, 8)  # of the nine libraries
BANDS = 4  # of the 12 places in frequency of the last map
WINDOW, HOP = (BLOCK - 1) * FFT_HOP + FFT, BLOCK_HOP * FFT_HOP  # samples
STACK, STACK_HOP = 2, 1  # frames


class AiSfx(TorchEncoder):
    """Encode a clip with pre-trained weights: 7 frames for 10 s.

    One frame is independent of the others. Safe to share between threads.

    Parameters
    ----------
    weights : Path
        The package's wheel, see `WEIGHTS`, or the checkpoint out of it.
    banded : bool
        Keep four frequency bands: 2048 dimensions instead of 512.

    Raises
    ------
    InputError
        When the file is no wheel or checkpoint, is truncated, or holds another model or anything but tensors.
    """

    batch = 8  # blocks

    def __init__(self, weights: Path, *, banded: bool = False) -> None:
        found = read_tensors(weights, member=CHECKPOINT)
        tensors = require_tensors(weights, WEIGHTS.name, found, expected_shapes(), ignored_shapes())
        self.banded = banded
        self.front_end = LogMel()
        self.network = build_network(tensors)
        spec = specification(banded)
        digest = tensors_digest(f"collab-asd {spec.name} 1", tensors)
        self._spec = replace(spec, digest=digest, note=provenance(WEIGHTS, weights, digest))

    @staticmethod
    def frames(samples: int) -> int:
        """Blocks of a clip that are full: at least one, which silence fills up for a clip of less than 2.3 s."""
        return 1 + max(0, spectra_count(samples) - BLOCK) // BLOCK_HOP

    def windows(self, waveform: Tensor) -> Tensor:
        """Cut one clip ``[samples]`` at 44.1 kHz into blocks of log-mel spectra ``[T, 100, 96]``."""
        spectra: Tensor = self.front_end(waveform)
        if len(spectra) < BLOCK:
            log.warning("A clip of %.2f s is shorter than a block of aiSFX; zeros fill it up", len(waveform) / 44.1e3)
            spectra = F.pad(spectra, (0, 0, 0, BLOCK - len(spectra)))
        return spectra.unfold(0, BLOCK, BLOCK_HOP).transpose(1, 2)

    def embed(self, windows: Tensor) -> Tensor:
        """Encode log-mel spectra ``[n, 100, 96]`` into frames ``[n, D]``; low bands first."""
        with self.autocast():
            maps: Tensor = self.network(windows[:, None])
        n, channels, times, _ = maps.shape
        bands = maps.float().view(n, channels, times, BANDS if self.banded else 1, -1).mean(4)
        return bands.amax(2).transpose(1, 2).flatten(1)


def specification(banded: bool) -> EncoderSpec:
    """All of it that no weights are needed for."""
    name, dimension = ("aisfx-bands", BANDS * CHANNELS[-1]) if banded else ("aisfx", CHANNELS[-1])
    return EncoderSpec(name, SAMPLE_RATE, WINDOW, HOP, dimension, STACK, STACK_HOP, digest="")


def spectra_count(samples: int) -> int:
    """Spectra of a clip: the first is centred on its start."""
    return 1 + -(-samples // FFT_HOP)


class LogMel(nn.Module):
    """Waveform ``[samples]`` -> logarithms of mel powers ``[spectra, 96]``, 0 for silence, about 1 at the most."""

    hann: Tensor
    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("hann", torch.hann_window(FFT, periodic=False))
        self.register_buffer("matrix", mel_matrix())

    def forward(self, waveform: Tensor) -> Tensor:
        """Transform one waveform."""
        samples = (spectra_count(len(waveform)) - 1) * FFT_HOP + FFT
        padded = F.pad(waveform, (FFT // 2, samples - FFT // 2 - len(waveform)))
        power = torch.fft.rfft(padded.unfold(0, FFT, FFT_HOP) * self.hann).abs().square()
        return torch.log10(SCALE * (power @ self.matrix) + 1.0) / BRIGHTEST


def mel_matrix() -> Tensor:
    """Make filters ``[1025 bins, 96 bands]`` from 0 Hz to 22.05 kHz: linear on the HTK mel scale, of unit sum."""
    matrix = htk_triangles(SAMPLE_RATE, FFT, MEL_BANDS, 0.0, SAMPLE_RATE / 2)
    return torch.from_numpy((matrix / matrix.sum(0)).astype(np.float32))


def build_network(tensors: Tensors) -> nn.Sequential:
    """Build the network: spectra ``[n, 1, 100, 96]`` -> maps ``[n, 512, 12, 12]``, time by frequency."""
    layers: list[nn.Module] = []
    for name, _, _ in _blocks():
        for i in (1, 2):
            folded = fold(tensors, f"{name}.conv{i}", f"{name}.bn{i}", EPSILON)
            pooled = i == 2 and not name.endswith("4")
            layers.append(Convolution(*folded, pooled=pooled))
    return nn.Sequential(*layers).eval()


def expected_shapes() -> TensorShapes:
    """Shapes of the tensors that a map depends on, by their names in the official checkpoint."""
    shapes: TensorShapes = {}
    for name, inputs, outputs in _blocks():
        for i, channels in enumerate((inputs, outputs), 1):
            shapes[f"{name}.conv{i}.weight"] = (outputs, channels, 3, 3)
            shapes |= {f"{name}.bn{i}.{part}": (outputs,) for part in NORM}
    return shapes


def ignored_shapes() -> TensorShapes:
    """Shapes of the nine classifiers."""
    shapes: TensorShapes = {}
    for i, classes in enumerate(CLASSES):
        for layer, inputs, outputs in ((0, 512, 256), (2, 256, 128), (4, 128, classes)):
            shapes |= {f"fc.{i}.{layer}.weight": (outputs, inputs), f"fc.{i}.{layer}.bias": (outputs,)}
    return shapes


def _blocks() -> list[tuple[str, int, int]]:
    """Name, input and output channels of each block."""
    names = (f"embedding_net.conv_block{i}" for i in range(1, len(CHANNELS) + 1))
    return list(zip(names, (1, *CHANNELS), CHANNELS, strict=False))


def _entry(banded: bool, kept: str) -> EncoderEntry:
    return EncoderEntry(
        build=lambda config: AiSfx(weights_file(WEIGHTS, config), banded=banded),
        spec=specification(banded),
        frames=AiSfx.frames,
        about=f"A CNN of eight layers over log-mel spectra of 2.3 s, trained on libraries of sound effects; {kept}.",
        privacy=PUBLIC_WEIGHTS,
        work=1.5,
        weights=lambda config: WEIGHTS,
    )


ENTRY = _entry(False, "as published")
BANDED = _entry(True, "in four frequency bands")
