"""The recording itself as an encoder: not private at all.

What it shares lets a server train whatever it likes, its own front end included: the upper bound that embeddings are
measured against (method ``centralized``).
"""

from __future__ import annotations

import hashlib

import numpy as np

from collab_asd.core.torch_audio import HOP, SAMPLE_RATE
from collab_asd.core.types import EncoderSpec, FloatArray
from collab_asd.encoders import EncoderEntry

STACK, STACK_HOP = 65, 8  # frames; 65 hops of samples hold the 64 spectra of a window of log-mel frames

ARCHITECTURE = f"waveform 1: {SAMPLE_RATE} Hz, hops of {HOP} samples"


class Waveform:
    """Waveform at 16 kHz -> its samples, 512 to a frame of 32 ms; those after the last whole frame are left out."""

    spec = EncoderSpec(
        name="waveform",
        sample_rate=SAMPLE_RATE,
        window=HOP,
        hop=HOP,
        dimension=HOP,
        stack=STACK,
        stack_hop=STACK_HOP,
        digest=hashlib.sha256(ARCHITECTURE.encode()).hexdigest(),
        note="not private: shares the recording itself",
    )

    @staticmethod
    def frames(samples: int) -> int:
        """Frames of a clip of so many samples."""
        return samples // HOP

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Cut one mono clip ``[samples]`` at 16 kHz into frames ``[T, 512]``."""
        frames = self.frames(len(waveform))
        return np.asarray(waveform[: frames * HOP], np.float32).reshape(frames, HOP)


ENTRY = EncoderEntry(
    build=lambda config: Waveform(),
    spec=Waveform.spec,
    frames=Waveform.frames,
    about="The samples themselves, 512 to a frame, for the method centralized and no other.",
    privacy="Not private: it is the recording.",
    work=0.02,
)
