"""Sound like speech: syllables of a voice with formants, between them hiss and pauses. It says nothing.

The source-filter model of speech (G. Fant, "Acoustic theory of speech production", Mouton, 1960): a pulse train at the
voice's pitch, or noise, through three resonances of the vocal tract. Syllables follow one another at about four a
second, the rate at which the envelope of real speech is modulated (N. Ding et al., "Temporal modulations in speech and
music", Neuroscience and Biobehavioral Reviews 81, 2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from collab_asd.core.types import FloatArray
from collab_asd.data.synthetic.signals import coloured_noise, harmonic_waveform, periodic, resonance, rms, slow_noise

SYLLABLE_S = (0.12, 0.32)
PHRASE_S, PAUSE_S = (0.8, 2.5), (0.2, 0.7)
PITCH_HZ = (90.0, 240.0)
FORMANTS_HZ = ((300.0, 800.0), (900.0, 2300.0), (2400.0, 3200.0))
DAMPING = (0.08, 0.05, 0.04)
HISS, HISS_HZ = 0.25, (3000.0, 6500.0)  # share of syllables that begin with a fricative, and where that lies
ORDERS = 30  # harmonics of the voice, falling by 6 dB an octave at the mouth


def speech_like(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """One voice for a whole clip.

    Parameters
    ----------
    samples : int
    sample_rate : int
        Hz, at least 8000.
    rng : numpy.random.Generator
        Decides the voice and what it seems to say.

    Returns
    -------
    FloatArray
        ``[samples]`` of RMS 1, pauses included.
    """
    voice, sound = _voice(samples, sample_rate, rng), np.zeros(samples, np.float32)
    for begin, end in _syllables(samples / sample_rate, rng):
        part = slice(round(begin * sample_rate), min(round(end * sample_rate), samples))
        sound[part] += _syllable(voice[part], sample_rate, rng)
    return np.asarray(sound / max(rms(sound), 1e-9), np.float32)


def _voice(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Pulse train of a voice whose pitch wanders by a tenth."""
    pitch = rng.uniform(*PITCH_HZ) * np.exp2(slow_noise(1.5, samples, sample_rate, rng) * 0.15)
    return periodic(np.cumsum(pitch) / sample_rate, harmonic_waveform(1 / np.arange(1, ORDERS + 1), rng))


def _syllables(seconds: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Begin and end of each syllable in s."""
    found, time = [], rng.uniform(0, PAUSE_S[1])
    phrase_end = time + rng.uniform(*PHRASE_S)
    while time < seconds:
        end = time + rng.uniform(*SYLLABLE_S)
        found.append((time, end))
        time = end
        if time > phrase_end:
            time += rng.uniform(*PAUSE_S)
            phrase_end = time + rng.uniform(*PHRASE_S)
    return found


def _syllable(voice: FloatArray, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Colour a stretch of the voice as a vowel, perhaps after a fricative, and let it swell and fade."""
    samples = len(voice)
    if samples < 8:
        return np.zeros(samples, np.float32)
    spectrum = fft.rfft(voice) * _vowel(samples, sample_rate, rng)
    sound = fft.irfft(spectrum, samples)
    envelope = signal.windows.tukey(samples, 0.6) * rng.uniform(0.4, 1)
    sound = sound / max(rms(np.asarray(sound, np.float32)), 1e-9) * envelope
    if rng.uniform() < HISS:
        sound += 0.4 * _fricative(samples, sample_rate, rng)
    return np.asarray(sound, np.float32)


def _vowel(samples: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.complex64]:
    parts = [
        resonance(rng.uniform(*band), damping, 0.5**i, samples, sample_rate)
        for i, (band, damping) in enumerate(zip(FORMANTS_HZ, DAMPING, strict=True))
    ]
    return np.asarray(np.sum(parts, axis=0), np.complex64)


def _fricative(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Noise around one high frequency in the first third."""
    highest = min(HISS_HZ[1], 0.45 * sample_rate)
    shape = resonance(rng.uniform(HISS_HZ[0], highest), 0.15, 1.0, samples, sample_rate)
    noise = np.asarray(fft.irfft(fft.rfft(coloured_noise(0, samples, sample_rate, rng)) * shape, samples), np.float32)
    early = np.clip(1 - 3 * np.arange(samples) / samples, 0, 1)
    return np.asarray(noise / max(rms(noise), 1e-9) * early, np.float32)
