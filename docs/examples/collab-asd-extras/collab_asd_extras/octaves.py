"""An encoder: levels of octave bands, 62.5 Hz to 8 kHz, every 0.1 s."""

import hashlib

import numpy as np

from collab_asd.core.types import EncoderSpec, FloatArray
from collab_asd.encoders import EncoderEntry

RATE, WINDOW, HOP, OCTAVES = 16_000, 4_096, 1_600, 7  # Hz, samples, samples, bands
EDGES = RATE / 2 / 2.0 ** np.arange(OCTAVES, -1, -1)  # Hz


class Octaves:
    """Waveform at 16 kHz -> levels in dB of 7 octave bands; frames lie wholly inside the clip."""

    spec = EncoderSpec(
        "octaves", RATE, WINDOW, HOP, OCTAVES, stack=16, stack_hop=4, digest=hashlib.sha256(b"octaves 1").hexdigest()
    )

    @staticmethod
    def frames(samples: int) -> int:
        """Frames of a clip of so many samples; 0 for one shorter than 0.256 s."""
        return max(0, 1 + (samples - WINDOW) // HOP)

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` at 16 kHz into frames ``[T, 7]``."""
        windows = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP] * np.hanning(WINDOW)
        power = np.abs(np.fft.rfft(windows)) ** 2
        first = np.searchsorted(np.fft.rfftfreq(WINDOW, 1 / RATE), EDGES[:-1])
        return (10 * np.log10(np.add.reduceat(power, first, axis=1) + 1e-6)).astype(np.float32)


ENTRY = EncoderEntry(
    build=lambda config: Octaves(),
    spec=Octaves.spec,
    frames=Octaves.frames,
    about="Levels of seven octave bands every 0.1 s.",
    privacy="Not private, but coarse: no word can be understood, loudness and rhythm show.",
    work=0.01,
)
