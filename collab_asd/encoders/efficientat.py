"""EfficientAT mn04: a MobileNet over log-mel spectrograms, trained on AudioSet, as an encoder f_c.

F. Schmid, K. Koutini, G. Widmer, "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation",
ICASSP 2023 (code and weights MIT); 1 M parameters, on AudioSet as good as PANNs' CNN14 (mAP 0.432). The network is
MobileNet v3: A. Howard et al., ICCV 2019. The classifier is left out: a frame is a column of the last map, every
320 ms. Squeeze-and-excitation averages over the whole clip, so a frame sees all of it, and clips of one length compare
best.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.encoders import PUBLIC_WEIGHTS, EncoderEntry, weights_file
from collab_asd.encoders.efficientat_network import BANDS, CHANNELS, expected_shapes, ignored_shapes, mobilenet
from collab_asd.encoders.fingerprint import provenance
from collab_asd.encoders.torch_checkpoint import read_tensors, require_tensors, tensors_digest
from collab_asd.encoders.weights import WeightSource
from collab_asd.interfaces import EncoderSpec, FloatArray
from collab_asd.torch_audio import torchaudio

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


class EfficientAt:
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

    @property
    def spec(self) -> EncoderSpec:
        """Rate, framing, dimension, stacking and digest."""
        return self._spec

    @staticmethod
    def frames(samples: int) -> int:
        """Frames of a clip: at least one; the last may stand for less than 320 ms."""
        spectra = 1 + (max(samples, SHORTEST) - 1) // STFT_HOP
        return -(-spectra // STRIDE)

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` at 32 kHz, full scale 1, into frames ``[T, D]``; low bands first."""
        missing = max(0, SHORTEST - len(waveform))
        if missing:
            log.warning("A clip of %d samples is too short for EfficientAT; zeros fill it up", len(waveform))
        bands = self.maps(F.pad(torch.tensor(waveform, dtype=torch.float32), (0, missing))).permute(2, 1, 0)
        return np.ascontiguousarray((bands.mean(1) if self.pooled else bands.flatten(1)).numpy())

    def maps(self, waveform: Tensor) -> Tensor:
        """Last maps ``[384, 4 bands, T]`` of a waveform ``[samples]``."""
        log_mel = self.front_end(waveform)[None, None].contiguous(memory_format=torch.channels_last)
        return self.network(log_mel)[0]  # type: ignore[no-any-return]


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
