"""A recording summarized by its log-mel spectrum: what a client's own score looks at, whatever encoder is shared.

That score never leaves the client, so there is nothing to gain from looking through an encoder that hides something.
"""

from __future__ import annotations

import numpy as np
import torch

from collab_asd.core.logmel import FFT, HOP, SAMPLE_RATE, log_mel
from collab_asd.core.types import EncoderSpec, FloatArray
from collab_asd.detection.second_order import DIMENSION, FEATURES_DIGEST, clip_features

SPEC = EncoderSpec("clip-spectrum", SAMPLE_RATE, FFT, HOP, DIMENSION, stack=1, stack_hop=1, digest=FEATURES_DIGEST)


class ClipSpectrum:
    """`clip_features` of a recording, as an encoder of one frame: the cache of embeddings keeps it."""

    spec = SPEC

    @staticmethod
    def frames(samples: int) -> int:
        """Return 1 for a waveform of at least one window."""
        return int(samples >= FFT)

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Summarize a waveform ``[samples]`` at 16 kHz -> ``[1, 256]`` in dB."""
        features = clip_features(log_mel(torch.tensor(waveform)).numpy())
        return features.astype(np.float32)[np.newaxis]
