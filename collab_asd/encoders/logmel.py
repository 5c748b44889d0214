"""Log-mel frames as an encoder f_c: the honest reference that is not private.

A log-mel spectrogram with a hop of 32 ms is nearly the recording itself: speech in the background stays intelligible
after inversion by Griffin-Lim. Whoever shares these frames shares raw data. What they score is what embedding sharing
could reach if nothing had to be kept secret.
"""

from __future__ import annotations

import hashlib

import torch
import torchaudio

from collab_asd.interfaces import EncoderSpec, FloatArray

SAMPLE_RATE = 16_000  # Hz
FFT, HOP = 1024, 512  # samples
MEL_BANDS = 128
FLOOR = 1e-10  # of mel power, -100 dB relative to 1
STACK, STACK_HOP = 64, 8  # frames

ARCHITECTURE = (
    f"logmel 1: {SAMPLE_RATE} Hz, Hann {FFT}, hop {HOP}, {MEL_BANDS} HTK mel bands of power, dB, floor {FLOOR}"
)


class LogMel:
    """Waveform at 16 kHz -> 128 log-mel powers in dB every 32 ms; frames lie wholly inside the clip."""

    def __init__(self) -> None:
        self._mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, n_fft=FFT, hop_length=HOP, n_mels=MEL_BANDS, center=False, power=2.0
        )

    @property
    def spec(self) -> EncoderSpec:
        """Rate, framing, dimension, stacking and digest."""
        return EncoderSpec(
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

    def frames(self, samples: int) -> int:
        """Frames of a clip of so many samples; 0 for one shorter than a window."""
        return max(0, 1 + (samples - FFT) // HOP)

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` at 16 kHz into frames ``[T, 128]`` in dB."""
        power = self._mel(torch.tensor(waveform))
        return (10.0 * torch.log10(power.clamp_min(FLOOR))).T.contiguous().numpy()
