"""Building blocks of synthetic sounds: noises, periodic waveforms, blows, resonances, a voice.

Sounds are ``[samples]``. Where a spectrum is shaped, the clip counts as one period of a sound that goes on for ever, so
nothing has to settle at its beginning.

The voice is the source-filter model of speech (G. Fant, "Acoustic theory of speech production", Mouton, 1960): a pulse
train at the voice's pitch, or noise, through three resonances of the vocal tract. Syllables follow one another at about
four a second, the rate at which the envelope of real speech is modulated (N. Ding et al., "Temporal modulations in
speech and music", Neuroscience and Biobehavioral Reviews 81, 2017). Between them are hiss and pauses. It says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from collab_asd.core.types import FloatArray

PHASE_STEPS = 4096
TURN = 2 * np.pi * np.arange(PHASE_STEPS) / PHASE_STEPS
COSINE = np.cos(TURN).astype(np.float32)
LOWEST = 20.0


def rms(sound: FloatArray) -> float:
    """Root mean square of a sound."""
    return float(np.sqrt(np.vdot(sound, sound) / len(sound)))


def amplitude(decibels: float) -> float:
    """Factor on the amplitude that a level in dB stands for."""
    return float(10 ** (decibels / 20))


def periodic(phase: NDArray[np.float64], waveform: FloatArray) -> FloatArray:
    """Play a waveform, given by `PHASE_STEPS` values of one period, at a phase counted in periods."""
    steps = (phase * PHASE_STEPS).astype(np.int64)
    steps &= PHASE_STEPS - 1
    return np.asarray(waveform[steps])


def harmonic_waveform(amplitudes: Iterable[float], rng: np.random.Generator) -> FloatArray:
    """One period ``[PHASE_STEPS]`` of a sum of orders 1, 2, ... with these amplitudes and random phases."""
    weights = np.fromiter(amplitudes, dtype=np.float64)
    spectrum = np.zeros(PHASE_STEPS // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(weights) + 1] = weights * np.exp(2j * np.pi * rng.uniform(size=len(weights)))
    return np.asarray(fft.irfft(spectrum, PHASE_STEPS) * PHASE_STEPS / 2, dtype=np.float32)


def slow_noise(rate: float, samples: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw normal random values, `rate` of them per second, joined by straight lines."""
    knots = rng.standard_normal(int(samples / sample_rate * rate) + 2)
    wander: NDArray[np.float64] = np.interp(np.arange(samples) * (rate / sample_rate), np.arange(len(knots)), knots)
    return wander


def coloured_noise(slope: float, samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian noise of RMS 1 whose spectrum rises by `slope` dB per octave."""
    return shaped_noise(octave_slope(slope, samples, sample_rate), samples, rng)


def shaped_noise(spectrum: FloatArray, samples: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian noise of RMS 1 whose amplitude spectrum has this shape ``[samples // 2 + 1]``."""
    white = rng.standard_normal(2 * len(spectrum), dtype=np.float32).view(np.complex64)
    noise = fft.irfft(white * spectrum, samples)
    return np.asarray(noise / rms(noise), dtype=np.float32)


def blows(
    times: NDArray[np.float64],
    contact: float,
    scatter: float,
    samples: int,
    sample_rate: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Blows at `times`, in samples, each `contact` s long and of a random height; RMS is about 1.

    `scatter` is the standard deviation of the heights' logarithm.
    """
    heights = rng.lognormal(0, scatter, len(times)) * np.sqrt(samples / max(len(times), 1))
    pulse = signal.windows.hann(max(1, round(contact * sample_rate)) + 2)[1:-1]
    where = np.rint(times).astype(np.intp)[:, None] + np.arange(len(pulse))
    force = np.outer(heights, pulse / np.linalg.norm(pulse))
    heard = (where >= 0) & (where < samples)
    return np.bincount(where[heard], force[heard], samples).astype(np.float32)


@lru_cache(maxsize=4)
def frequency_axis(samples: int, sample_rate: int) -> FloatArray:
    """Frequencies in Hz ``[samples // 2 + 1]`` of the real FFT of a clip."""
    return np.asarray(fft.rfftfreq(samples, 1 / sample_rate), dtype=np.float32)


def octave_slope(slope: float, samples: int, sample_rate: int) -> FloatArray:
    """Amplitude spectrum ``[samples // 2 + 1]`` that rises by `slope` dB per octave above `LOWEST` Hz; 1 at 1 kHz."""
    octaves = np.log2(np.maximum(frequency_axis(samples, sample_rate), LOWEST) / np.float32(1000))
    spectrum: FloatArray = np.exp2(octaves * np.float32(slope / 20 * np.log2(10)))
    return spectrum


def resonance(frequency: float, damping: float, gain: float, samples: int, sample_rate: int) -> NDArray[np.complex64]:
    """Response ``[samples // 2 + 1]`` of a second-order resonator: `gain` at its frequency in Hz, less elsewhere."""
    ratio = frequency_axis(samples, sample_rate) / np.float32(frequency)
    width = np.float32(2 * damping)
    response = np.empty(len(ratio), dtype=np.complex64)
    response.real, response.imag = 1 - ratio * ratio, width * ratio
    return np.complex64(1j * gain * width) / response


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
