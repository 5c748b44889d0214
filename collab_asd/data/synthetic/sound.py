"""From a machine and its working conditions to a recording: sources, the structure they excite, the factory around.

What turns is computed as a function of the shaft's phase, so harmonics, blows and modulations stay together when the
speed wanders. All sources excite one structure, whose resonances colour them: the usual model of the vibration of
machines (R. B. Randall and J. Antoni, "Rolling element bearing diagnostics - a tutorial", MSSP 25(2), 2011).

A factory is mains hum, a coloured murmur, and blows from afar. Every machine is recorded in each of them, so to know
the factory is not to know the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from collab_asd.core.types import FloatArray
from collab_asd.data.synthetic.faults import Fault, damage
from collab_asd.data.synthetic.machines import Impacts, Machine, Mode, varied
from collab_asd.data.synthetic.signals import (
    COSINE,
    TURN,
    amplitude,
    blows,
    coloured_noise,
    frequency_axis,
    harmonic_waveform,
    octave_slope,
    periodic,
    resonance,
    rms,
    shaped_noise,
    slow_noise,
)

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
    times = rng.uniform(0, samples, rng.poisson(factory.blows * samples / sample_rate))
    sound += amplitude(factory.blows_db) * blows(times, 0.02, 0.5, samples, sample_rate, rng)  # dulled by the distance
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


RECORDED_RMS = 0.01
RADIATION_CORNER = 150.0
# What differs from clip to clip of a healthy machine: standard deviations of the resonances (a fraction), of the
# microphone's colouring (dB per octave), and of the shaft orders (logarithm of the amplitude).
WARMTH = 0.008
TILT = 0.5
ORDERS = 0.2


@dataclass(frozen=True)
class Conditions:
    """How and where a machine runs during one clip.

    Parameters
    ----------
    speed : float
        Shaft speed in Hz that the machine is set to; a fault may make it turn slower or faster.
    load : float
        0 (idle) to 1 (full).
    factory : str
        A key of `FACTORIES`.
    snr_db : float
        Power of the machine over power of the background, in dB, over the whole clip.
    """

    speed: float
    load: float
    factory: str
    snr_db: float


def render(
    machine: Machine,
    conditions: Conditions,
    fault: Fault | None,
    rng: np.random.Generator,
    *,
    seconds: float = 10.0,
    sample_rate: int = 16000,
) -> FloatArray:
    """Record one clip.

    Parameters
    ----------
    machine : Machine
        The healthy machine.
    conditions : Conditions
        How and where it runs.
    fault : Fault or None
        What is broken, a kind of fault that this machine's type can have.
    rng : numpy.random.Generator
        A generator in the same state gives the same clip.
    seconds : float
        Length in s.
    sample_rate : int
        Hz.

    Returns
    -------
    FloatArray
        ``[samples]``, mono, full scale 1.
    """
    sound, background = components(machine, conditions, fault, rng, seconds=seconds, sample_rate=sample_rate)
    return sound + background


def components(
    machine: Machine,
    conditions: Conditions,
    fault: Fault | None,
    rng: np.random.Generator,
    *,
    seconds: float = 10.0,
    sample_rate: int = 16000,
) -> tuple[FloatArray, FloatArray]:
    """Like `render`, but machine and background apart, each ``[samples]``, at their levels in the recording."""
    samples = round(seconds * sample_rate)
    level = RECORDED_RMS * rng.lognormal(0, 0.1)
    sound = machine_sound(damage(machine, fault), conditions, samples, sample_rate, rng)
    sound *= np.float32(level / rms(sound))
    background = factory_noise(FACTORIES[conditions.factory], samples, sample_rate, rng)
    background *= np.float32(rms(sound) / rms(background) * amplitude(-conditions.snr_db))
    return sound, background


def machine_sound(
    machine: Machine, conditions: Conditions, samples: int, sample_rate: int, rng: np.random.Generator
) -> FloatArray:
    """Let a machine sound alone, ``[samples]``, at an arbitrary level: sources through the structure."""
    modes, tilt = varied(machine.modes, WARMTH, rng), rng.normal(0, TILT)
    phase = shaft_phase(conditions.speed * (1 - machine.drag), machine.jitter, samples, sample_rate, rng)
    force = shaft_harmonics(machine, conditions, phase, sample_rate, rng)
    force += flow_noise(machine, conditions, phase, sample_rate, rng)
    if machine.squeal:
        force += machine.squeal * squeal(samples, sample_rate, rng)
    force *= working_cycle(machine, phase)
    if machine.hiss:
        force += machine.hiss * coloured_noise(3.0, samples, sample_rate, rng)
    for impacts in machine.impacts:
        force += impact_train(impacts, phase, sample_rate, rng)
    if machine.sideband:
        force *= 1 + machine.sideband * periodic(phase, COSINE)
    return ring(modes, force, sample_rate, tilt)


def shaft_phase(
    speed: float, jitter: float, samples: int, sample_rate: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Revolutions ``[samples]`` of a shaft that keeps `speed` in Hz on average and wanders about it."""
    wander = jitter * slow_noise(4.0, samples, sample_rate, rng)
    turned: NDArray[np.float64] = np.cumsum(speed / sample_rate * (1 + wander - wander.mean()))
    return rng.uniform(0, 100) + turned


def shaft_harmonics(
    machine: Machine, conditions: Conditions, phase: NDArray[np.float64], sample_rate: int, rng: np.random.Generator
) -> FloatArray:
    """All orders of the shaft ``[samples]``, RMS about 1; under load the higher ones grow."""
    orders = np.arange(1, len(machine.harmonics) + 1)
    audible = orders * conditions.speed < 0.4 * sample_rate
    weights = np.array(machine.harmonics) * orders ** (0.6 * (conditions.load - 0.5)) * audible
    weights *= rng.lognormal(0, ORDERS, len(orders))
    return periodic(phase, harmonic_waveform(weights, rng))


def flow_noise(
    machine: Machine, conditions: Conditions, phase: NDArray[np.float64], sample_rate: int, rng: np.random.Generator
) -> FloatArray:
    """Turbulence ``[samples]``: louder under load, pulsating as blades pass, surging where the flow breaks away."""
    noise = coloured_noise(machine.flow_slope, len(phase), sample_rate, rng)
    noise *= machine.flow * amplitude(8 * (conditions.load - 0.5) + rng.normal())
    noise *= 1 + machine.pulsation * periodic(phase * machine.teeth, COSINE)
    if machine.surge:
        swelling = np.clip(slow_noise(3.0, len(phase), sample_rate, rng), -1, 2)
        noise *= (1 + machine.surge * swelling).astype(np.float32)
    return noise


def impact_train(
    impacts: Impacts, phase: NDArray[np.float64], sample_rate: int, rng: np.random.Generator
) -> FloatArray:
    """Blows ``[samples]`` at every 1 / order of a revolution, each a bit early or late; RMS is about ``level``."""
    turns = phase * impacts.order - impacts.offset
    due = np.arange(np.ceil(turns[0]), turns[-1])
    late = impacts.slip * rng.standard_normal(len(due))
    times = np.interp(due + late, turns, np.arange(len(turns)))
    return impacts.level * blows(times, impacts.contact, 0.15, len(phase), sample_rate, rng)


def squeal(samples: int, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """Whistle ``[samples]`` between 2 and 3 kHz, RMS about 1; the tone wavers in pitch and comes and goes."""
    pitch = rng.uniform(2000, 3000) * (1 + 0.01 * slow_noise(10.0, samples, sample_rate, rng))
    strength = np.sqrt(2) * np.abs(slow_noise(6.0, samples, sample_rate, rng))
    whistle = periodic(np.cumsum(pitch / sample_rate), COSINE)
    return np.asarray(whistle * strength, dtype=np.float32)


def working_cycle(machine: Machine, phase: NDArray[np.float64]) -> FloatArray | float:
    """How strongly the machine moves ``[samples]``: 1 in its stroke, nearly 0 in its pause; just 1 if it has none."""
    if not machine.cycle:
        return 1.0
    position, edge = TURN / (2 * np.pi), 0.03
    stroke = np.clip(np.minimum(position, machine.duty - position) / edge, 0, 1)
    return periodic(phase / machine.cycle, (0.05 + 0.95 * stroke).astype(np.float32))


def ring(modes: tuple[Mode, ...], force: FloatArray, sample_rate: int, tilt: float = 0.0) -> FloatArray:
    """Let a force ``[samples]`` excite the structure: resonators beside a direct path.

    Small bodies radiate little below `RADIATION_CORNER` Hz; `tilt`, in dB per octave, is where the microphone stands.
    """
    samples = len(force)
    response = sum((resonance(m.frequency, m.damping, m.gain, samples, sample_rate) for m in modes), np.complex64(1))
    frequencies = frequency_axis(samples, sample_rate)
    radiated = octave_slope(tilt, samples, sample_rate) * frequencies / (frequencies + np.float32(RADIATION_CORNER))
    return np.asarray(fft.irfft(fft.rfft(force) * (response * radiated), samples), dtype=np.float32)
