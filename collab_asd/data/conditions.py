"""Another microphone, level, noise and neighbour for each machine: recordings are changed as they are read.

Recordings from one laboratory do not show whether a method tells machines apart by their sound or by their microphones.
Conditions such as ``response-3+gain-6`` give each machine its own, drawn by the seed, the same in training and test.

====================  =================================================================================
``response-DB``       smooth frequency response: normal deviates of so many dB at nine knots over the mel range
``gain-DB``           gain: a normal deviate of so many dB
``noise-DB``          steady noise floor, of a slope of its own, DB to DB + 10 dB below the machine's level
``interference-DB``   a synthetic machine that runs nearby, DB to DB + 10 dB below the machine's level
====================  =================================================================================
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline

from collab_asd.core.errors import InputError
from collab_asd.core.seeding import derive
from collab_asd.core.types import FloatArray, RecordingConditions
from collab_asd.data.synthetic.machines import MACHINE_TYPES, Machine, make_machine
from collab_asd.data.synthetic.signals import amplitude, coloured_noise, rms
from collab_asd.data.synthetic.sound import Conditions, machine_sound

CONDITION = re.compile(r"(response|gain|noise|interference)-([0-9]+(?:\.[0-9]+)?)")
KNOTS = 9
HIGHEST = 8_000.0  # Hz: of the mel range that encoders look at
LEVEL_SPAN = 10.0  # dB
STEEPEST = -6.0  # dB per octave: slope of a noise floor, drawn between this and 0


def conditions(text: str) -> dict[str, float]:
    """Read conditions: dB by kind.

    Examples
    --------
    >>> conditions("response-3+gain-6")
    {'response': 3.0, 'gain': 6.0}

    Raises
    ------
    InputError
        A part is none, or a kind is named twice.
    """
    found = [CONDITION.fullmatch(part) for part in text.split("+")] if text else []
    kinds = {match[1]: float(match[2]) for match in found if match}
    if len(kinds) < len(found):
        raise InputError(
            f"recording-conditions = {text!r}: write response-DB, gain-DB, noise-DB or interference-DB, each once at "
            "most, joined by +, such as response-3+noise-10; empty: as recorded"
        )
    return kinds


def draw(text: str, seed: int, machine: str, level: float) -> RecordingConditions:
    """Draw the conditions of one machine. Twice the dB are twice the same deviates.

    Parameters
    ----------
    text : str
        See `conditions`.
    seed : int
    machine : str
        Type and ID: ``"ToyCar/01"``.
    level : float
        RMS of a recording of it, full scale 1.
    """
    asked = conditions(text)
    of = {kind: np.random.default_rng(derive(seed, "recording-conditions", kind, machine)) for kind in asked}
    response, gain, noise, noise_slope, interference = (0.0,) * KNOTS, 0.0, 0.0, 0.0, 0.0
    if "response" in asked:
        response = tuple((asked["response"] * of["response"].standard_normal(KNOTS)).tolist())
    if "gain" in asked:
        gain = asked["gain"] * float(of["gain"].standard_normal())
    if "noise" in asked:
        noise = level * amplitude(-asked["noise"] - of["noise"].uniform(0, LEVEL_SPAN))
        noise_slope = float(of["noise"].uniform(STEEPEST, 0))
    if "interference" in asked:
        interference = level * amplitude(-asked["interference"] - of["interference"].uniform(0, LEVEL_SPAN))
    source = derive(seed, "recording-conditions", "source", machine)
    return RecordingConditions(response, gain, noise, noise_slope, interference, source)


def record(sound: FloatArray, rate: int, under: RecordingConditions, clip: str) -> FloatArray:
    """Record a sound ``[samples]`` once more: the neighbour joins it, the microphone colours both and adds its noise.

    Parameters
    ----------
    rate : int
        Hz.
    under : RecordingConditions
    clip : str
        Content hash, from which the noise of this clip is drawn.
    """
    rng = np.random.default_rng(derive(under.seed, clip))
    heard = np.asarray(sound, np.float32)
    if under.interference:
        neighbour = _neighbour(under.seed)
        speed = neighbour.speed * (1 + 0.02 * rng.standard_normal())
        other = machine_sound(neighbour, Conditions(speed, rng.uniform(), "", 0.0), len(heard), rate, rng)
        heard = heard + other * np.float32(under.interference / rms(other))
    if any(under.response):
        heard = fft.irfft(fft.rfft(heard) * _response(under.response, len(heard), rate), len(heard))
    if under.noise:
        heard = heard + np.float32(under.noise) * coloured_noise(under.noise_slope, len(heard), rate, rng)
    return np.asarray(heard * amplitude(under.gain), np.float32)


@lru_cache(maxsize=64)
def _neighbour(seed: int) -> Machine:
    rng = np.random.default_rng(seed)
    kind = MACHINE_TYPES[int(rng.integers(len(MACHINE_TYPES)))]
    return make_machine(kind, f"{rng.integers(100):02d}", int(rng.integers(2**31)))


@lru_cache(maxsize=64)
def _response(knots: tuple[float, ...], samples: int, rate: int) -> FloatArray:
    """Factor on the amplitude ``[samples // 2 + 1]``: a spline through dB at knots evenly spaced on the mel scale."""
    frequencies = np.minimum(fft.rfftfreq(samples, 1 / rate), HIGHEST)
    mel = np.log1p(frequencies / 700) / np.log1p(HIGHEST / 700)
    decibels = CubicSpline(np.linspace(0, 1, len(knots)), knots, bc_type="natural")(mel)
    return np.asarray(10 ** (decibels / 20), np.float32)
