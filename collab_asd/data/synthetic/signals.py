"""Building blocks of the synthetic sounds: noises, periodic waveforms, blows, resonances. They know of no machine.

All return ``[samples]``. Where a spectrum is shaped, the clip counts as one period of a sound that goes on for ever, so
nothing has to settle at its beginning.
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
