"""Log-mel frames as an encoder: the honest reference that is not private.

A log-mel spectrogram with a hop of 32 ms is nearly the recording itself: Griffin-Lim turns it back into sound. Whoever
shares these frames shares raw data. What they score is what embedding sharing could reach if nothing had to be kept
secret.
"""

from __future__ import annotations

import hashlib

from torch import Tensor

from collab_asd.core.torch_audio import FFT, FLOOR, HOP, MEL_BANDS, SAMPLE_RATE, log_mel
from collab_asd.core.types import EncoderSpec
from collab_asd.encoders import EncoderEntry
from collab_asd.encoders.torch_encoder import TorchEncoder

STACK, STACK_HOP = 64, 8  # frames

ARCHITECTURE = (
    f"logmel 1: {SAMPLE_RATE} Hz, Hann {FFT}, hop {HOP}, {MEL_BANDS} HTK mel bands of power, dB, floor {FLOOR}"
)


class LogMel(TorchEncoder):
    """Waveform at 16 kHz -> 128 log-mel powers in dB every 32 ms; frames lie wholly inside the clip."""

    has_network = False
    spec = EncoderSpec(
        name="logmel",
        sample_rate=SAMPLE_RATE,
        window=FFT,
        hop=HOP,
        dimension=MEL_BANDS,
        stack=STACK,
        stack_hop=STACK_HOP,
        digest=hashlib.sha256(ARCHITECTURE.encode()).hexdigest(),
        note="not private: log-mel frames are nearly the recording",
    )

    @staticmethod
    def frames(samples: int) -> int:
        """Frames of a clip of so many samples; 0 for one shorter than a window."""
        return max(0, 1 + (samples - FFT) // HOP)

    def windows(self, waveform: Tensor) -> Tensor:
        """See `TorchEncoder`: the clip as a whole, at 16 kHz."""
        return waveform[None]

    def embed(self, windows: Tensor) -> Tensor:
        """Encode clips ``[n, samples]`` into frames ``[n, T, 128]`` in dB."""
        return log_mel(windows)


ENTRY = EncoderEntry(
    build=lambda config: LogMel(),
    spec=LogMel.spec,
    frames=LogMel.frames,
    about="Log-mel powers every 32 ms: the reference that gives nothing up for privacy.",
    privacy="Not private: log-mel frames are nearly the recording (docs/privacy.md).",
    work=0.02,
)
