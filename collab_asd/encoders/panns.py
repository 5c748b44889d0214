"""PANNs Wavegram-Logmel-CNN14, trained on AudioSet, as an encoder f_c: embeddings of 1-s windows every 0.1 s.

Q. Kong et al., IEEE/ACM TASLP 28, 2020 (code MIT, weights CC-BY-4.0). The paper brings its recordings to 32 kHz and has
90 frames of 2048 dimensions for 10 s, of which it stacks 32 with an overlap of 28. A window begins every 0.1 s as long
as *more* than a window of the clip is left: the 91st of a clip of exactly 10 s, which would end where the clip ends, is
not taken. So each window is whole, and 1 s is a multiple of 640 samples, for which the two branches of the network
agree in length. `collab_asd.data.audio.resample` brings clips to 32 kHz, with torchaudio's windowed sinc filter of the
parameters ``kaiser_best``; the official code leaves the filter to the version of librosa.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from collab_asd.encoders import PUBLIC_WEIGHTS, EncoderEntry, weights_file
from collab_asd.encoders.fingerprint import provenance
from collab_asd.encoders.panns_network import DIMENSION, WavegramLogmelCnn14, expected_shapes, ignored_shapes
from collab_asd.encoders.torch_checkpoint import read_tensors, require_tensors, tensors_digest
from collab_asd.encoders.weights import WeightSource
from collab_asd.interfaces import EncoderSpec, FloatArray

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


class Panns:
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

    @property
    def spec(self) -> EncoderSpec:
        """Rate, framing, dimension, stacking and digest."""
        return self._spec

    @staticmethod
    def frames(samples: int) -> int:
        """Windows of a clip: at least one; zeros fill up a clip that is shorter."""
        return max(1, -(-(samples - WINDOW) // HOP))

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` at 32 kHz, full scale 1, into frames ``[T, 2048]``."""
        samples = len(waveform)
        if samples < WINDOW:
            log.warning("A clip of %.2f s is shorter than a window of PANNs; zeros fill it up to 1 s", samples / 32e3)
        padded = F.pad(torch.tensor(waveform, dtype=torch.float32), (0, max(0, WINDOW - samples)))
        whole = padded[: WINDOW + (self.frames(samples) - 1) * HOP]
        return np.concatenate([embeddings.numpy() for embeddings in embed_windows(self.network, whole)])


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
