"""The factories in which the synthetic machines are recorded: mains hum, a coloured murmur, blows from afar.

Every machine is recorded in each of them, so to know the factory is not to know the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from collab_asd.data.synthetic.signals import (
    amplitude,
    blows,
    frequency_axis,
    harmonic_waveform,
    octave_slope,
    periodic,
    shaped_noise,
    slow_noise,
)
from collab_asd.interfaces import FloatArray

DECIBEL = float(np.log(10)) / 20


@dataclass(frozen=True)
class Factory:
    """What one hears in a factory when the machine in question is off.

    Parameters
    ----------
    slope : float
        Of the murmur's spectrum, dB per octave.
    humps : tuple of (float, float, float)
        Where the murmur is louder: centre in Hz, width in octaves, gain in dB.
    mains, hum_db : float
        Mains frequency in Hz, and level of its hum relative to the murmur.
    blows, blows_db : float
        Distant blows per second, and their level relative to the murmur.
    sway : float
        How much the murmur's level wanders, as a standard deviation in dB.
    """

    slope: float
    humps: tuple[tuple[float, float, float], ...]
    mains: float
    hum_db: float
    blows: float
    blows_db: float
    sway: float


FACTORIES = {
    "assembly": Factory(-4.0, ((600, 1.0, 6),), 50.0, -8.0, 0.5, -10.0, 1.5),
    "foundry": Factory(-6.0, ((180, 0.8, 8), (1500, 0.6, 5)), 50.0, -12.0, 1.2, -2.0, 2.0),
    "press_shop": Factory(-5.0, ((350, 0.5, 6),), 60.0, -10.0, 2.0, 0.0, 1.0),
    "weaving_mill": Factory(-3.0, ((2400, 0.8, 9), (900, 0.4, 5)), 60.0, -14.0, 0.2, -12.0, 1.0),
}


def factory_noise(factory: Factory, samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Background ``[samples]`` of a factory, at an arbitrary level."""
    sway = slow_noise(1.0, samples, sample_rate, rng) * (factory.sway * DECIBEL)
    murmur = shaped_noise(_murmur_spectrum(factory, samples, sample_rate), samples, rng) * np.exp(sway)
    sound = murmur + amplitude(factory.hum_db) * _hum(factory.mains, samples, sample_rate, rng)
    sound += amplitude(factory.blows_db) * _distant_blows(factory.blows, samples, sample_rate, rng)
    return np.asarray(sound, dtype=np.float32)


@lru_cache(maxsize=16)
def _murmur_spectrum(factory: Factory, samples: int, sample_rate: int) -> FloatArray:
    """Amplitude spectrum ``[samples // 2 + 1]``: a slope with humps."""
    frequencies = np.maximum(frequency_axis(samples, sample_rate), 1)
    decibels = np.zeros_like(frequencies)
    for centre, width, gain in factory.humps:
        decibels += gain * np.exp(-((np.log2(frequencies / centre) / width) ** 2))
    spectrum: FloatArray = octave_slope(factory.slope, samples, sample_rate) * np.exp(decibels * DECIBEL)
    return spectrum


def _hum(mains: float, samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Hum as transformers do: multiples of the mains frequency, the even ones stronger; RMS about 1."""
    orders = np.arange(1, 13)
    amplitudes = np.where(orders % 2 == 0, 1.0, 0.4) / orders**0.8
    phase = np.arange(samples, dtype=np.float64) * (mains / sample_rate)
    return periodic(phase, harmonic_waveform(amplitudes, rng))


def _distant_blows(rate: float, samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Blows at random times, `rate` per second on average, dulled by the distance; RMS about 1 where there are any."""
    times = rng.uniform(0, samples, rng.poisson(rate * samples / sample_rate))
    return blows(times, 0.02, 0.5, samples, sample_rate, rng)
