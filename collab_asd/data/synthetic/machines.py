"""What a synthetic machine is: a shaft with teeth, a flow, parts that strike, a structure that rings, perhaps a cycle.

The last fields of `Machine` describe damage and are zero on a healthy one: a fault is a change of the machine, and the
sound of a broken machine is computed like that of any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Mode:
    """One resonance of the structure: frequency in Hz, damping as a fraction of the critical one, peak gain."""

    frequency: float
    damping: float
    gain: float


@dataclass(frozen=True)
class Impacts:
    """Blows that return with the shaft.

    Parameters
    ----------
    order : float
        Blows per revolution of the shaft; below 1 for parts that turn slower.
    level : float
        RMS of the train, relative to a shaft sound of RMS 1.
    contact : float
        Duration of one blow in s; the shorter, the higher the frequencies it excites.
    slip : float
        Standard deviation of a blow's time, as a fraction of the interval between blows.
    offset : float
        When the first blow comes, in intervals.
    """

    order: float
    level: float
    contact: float
    slip: float = 0.002
    offset: float = 0.0


@dataclass(frozen=True)
class Machine:
    """One machine, healthy or damaged. Levels are RMS amplitudes relative to the shaft sound of the healthy machine.

    Parameters
    ----------
    machine_type, machine_id : str
    speed, jitter : float
        Usual shaft speed in Hz, and its relative standard deviation within a clip.
    harmonics : tuple of float
        Amplitudes of the shaft's orders 1, 2, ...
    teeth : int
        Blades, vanes or gear teeth: the order that is strong and at which the flow pulsates.
    flow, flow_slope, pulsation : float
        Level of the flow noise, its slope in dB per octave, depth (0 to 1) of its pulsation.
    cycle, duty : float
        Revolutions per working cycle (0: runs without pause) and the part of it (0 to 1) in which the machine moves.
    impacts : tuple of Impacts
    modes : tuple of Mode
    bearing_order : float
        Blows per revolution if the outer race of its bearing were damaged.
    drag : float
        Fraction by which the shaft turns slower than it was set to; negative if faster.
    sideband : float
        Depth (0 to 1) of a once-per-revolution modulation of everything.
    hiss : float
        Level of a jet's noise, which rises with frequency.
    squeal : float
        Level of a rubbing part's tone.
    surge : float
        Depth (0 to 1) of a slow, irregular swelling of the flow.
    """

    machine_type: str
    machine_id: str
    speed: float
    jitter: float
    harmonics: tuple[float, ...]
    teeth: int
    flow: float
    flow_slope: float
    pulsation: float
    cycle: float
    duty: float
    impacts: tuple[Impacts, ...]
    modes: tuple[Mode, ...]
    bearing_order: float
    drag: float = 0.0
    sideband: float = 0.0
    hiss: float = 0.0
    squeal: float = 0.0
    surge: float = 0.0


def outer_race_order(balls: int, diameter_ratio: float, contact_angle: float = 0.0) -> float:
    """Blows per revolution of a bearing with a damaged outer race (BPFO; Randall and Antoni, 2011, section 2).

    Parameters
    ----------
    balls : int
    diameter_ratio : float
        Ball to pitch diameter.
    contact_angle : float
        Radians.

    References
    ----------
    R. B. Randall and J. Antoni, "Rolling element bearing diagnostics - a tutorial", Mechanical Systems and Signal
    Processing 25(2), 2011.
    """
    return balls / 2 * (1 - diameter_ratio * float(np.cos(contact_angle)))


def varied(modes: tuple[Mode, ...], spread: float, rng: np.random.Generator) -> tuple[Mode, ...]:
    """Move the resonances, together and each for itself, by random fractions of standard deviation `spread`."""
    factors = 1 + spread * (rng.standard_normal() + rng.standard_normal(len(modes)))
    return tuple(replace(mode, frequency=mode.frequency * factor) for mode, factor in zip(modes, factors, strict=True))


def shifted(modes: tuple[Mode, ...], factor: float, damping: float = 1.0) -> tuple[Mode, ...]:
    """Move all resonances in frequency, and their damping, by a factor."""
    return tuple(replace(mode, frequency=mode.frequency * factor, damping=mode.damping * damping) for mode in modes)
