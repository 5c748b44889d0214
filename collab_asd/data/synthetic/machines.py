"""What a synthetic machine is: a shaft with teeth, a flow, parts that strike, a structure that rings, perhaps a cycle.

The last fields of `Machine` describe damage and are zero on a healthy one: a fault is a change of the machine, and the
sound of a broken machine is computed like that of any other.

Names of the six types follow DCASE 2020 Task 2 (Koizumi et al., 2020). Machines of one type share physics and make,
such as the number of blades; each ID has a speed, resonances, impacts and a bearing of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from collab_asd.data.synthetic.signals import amplitude


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


GOLDEN_RATIO = (np.sqrt(5) - 1) / 2
MODES = 6
MOST_TEETH = 16
# How far machines of one type differ: little enough that a fault can make one sound like another, enough that a network
# can tell them apart. Found by trial, together with the severities of the faults, so that no detector comes near a
# perfect score.
OWN_HARMONICS = 0.1
OWN_TUNING = 0.05


@dataclass(frozen=True)
class Recipe:
    """What the machines of one type have in common: ranges from which each machine's parameters are drawn.

    Speeds and modes in Hz, levels in dB relative to the shaft, `cycle` in revolutions, `contact` in s, `strikes` the
    offsets (in cycles) of the blows that belong to the healthy machine.
    """

    speed: tuple[float, float]
    teeth: tuple[int, int]
    rolloff: float
    flow_db: tuple[float, float]
    flow_slope: float
    pulsation: float
    modes: tuple[float, float]
    cycle: tuple[float, float] = (0.0, 0.0)
    duty: tuple[float, float] = (1.0, 1.0)
    strikes: tuple[float, ...] = ()
    strike_db: tuple[float, float] = (0.0, 0.0)
    contact: float = 0.001


RECIPES = {
    "ToyCar": Recipe(
        speed=(68, 82),
        teeth=(8, 12),
        rolloff=0.7,
        flow_db=(-9, -4),
        flow_slope=-2,
        pulsation=0.3,
        modes=(300, 5200),
    ),
    "ToyConveyor": Recipe(
        speed=(16, 20),
        teeth=(10, 15),
        rolloff=0.6,
        flow_db=(-7, -2),
        flow_slope=-3,
        pulsation=0.2,
        modes=(180, 3800),
        cycle=(5, 9),
        strikes=(0.0,),
        strike_db=(-9, -5),
        contact=0.003,
    ),
    "fan": Recipe(
        speed=(23, 29),
        teeth=(5, 9),
        rolloff=1.0,
        flow_db=(0, 5),
        flow_slope=-4,
        pulsation=0.4,
        modes=(120, 3000),
    ),
    "pump": Recipe(
        speed=(26, 33),
        teeth=(4, 7),
        rolloff=0.8,
        flow_db=(-5, 1),
        flow_slope=-2,
        pulsation=0.5,
        modes=(200, 4200),
    ),
    "slider": Recipe(
        speed=(20, 26),
        teeth=(11, 16),
        rolloff=0.6,
        flow_db=(-5, 0),
        flow_slope=-2,
        pulsation=0.2,
        modes=(250, 4800),
        cycle=(14, 24),
        duty=(0.55, 0.75),
        strikes=(0.0, 0.66),
        strike_db=(-6, 0),
        contact=0.0015,
    ),
    "valve": Recipe(
        speed=(45, 56),
        teeth=(2, 3),
        rolloff=1.0,
        flow_db=(-5, 0),
        flow_slope=-1,
        pulsation=0.1,
        modes=(350, 5600),
        cycle=(28, 48),
        duty=(0.25, 0.45),
        strikes=(0.0, 0.38),
        strike_db=(4, 9),
        contact=0.0006,
    ),
}
MACHINE_TYPES = tuple(RECIPES)


def make_machine(machine_type: str, machine_id: str, seed: int) -> Machine:
    """Build one healthy machine; the same arguments give the same machine, however many others there are.

    Parameters
    ----------
    machine_type : str
        One of `MACHINE_TYPES`.
    machine_id : str
        Two digits.
    seed : int
        Other seeds give other machines.
    """
    recipe, kind, number = RECIPES[machine_type], MACHINE_TYPES.index(machine_type), int(machine_id)
    family = np.random.default_rng([seed, kind])
    own = np.random.default_rng([seed, kind, number + 1])
    place = float((family.uniform() + number * GOLDEN_RATIO) % 1)
    teeth = int(family.integers(recipe.teeth[0], recipe.teeth[1] + 1))
    cycle = own.uniform(*recipe.cycle)
    return Machine(
        machine_type=machine_type,
        machine_id=machine_id,
        speed=float(np.interp(place, (0, 1), recipe.speed)),
        jitter=0.004,
        harmonics=_harmonics(teeth, recipe.rolloff, family, own),
        teeth=teeth,
        flow=amplitude(family.uniform(*recipe.flow_db) + own.normal(0, 1)),
        flow_slope=recipe.flow_slope + own.normal(0, 0.2),
        pulsation=recipe.pulsation * own.uniform(0.7, 1.3),
        cycle=cycle,
        duty=own.uniform(*recipe.duty),
        impacts=tuple(
            Impacts(1 / cycle, amplitude(own.uniform(*recipe.strike_db)), recipe.contact, offset=strike)
            for strike in recipe.strikes
        ),
        modes=_modes(recipe.modes, family, own),
        bearing_order=outer_race_order(int(own.integers(7, 12)), own.uniform(0.18, 0.28)),
    )


def _harmonics(teeth: int, rolloff: float, family: np.random.Generator, own: np.random.Generator) -> tuple[float, ...]:
    """Draw amplitudes that fall with the order, the multiples of `teeth` standing out; RMS of the sum is 1."""
    orders = np.arange(1, 4 * teeth + 1)
    typical = orders**-rolloff * family.lognormal(0, 0.4, 4 * MOST_TEETH)[: len(orders)]
    amplitudes = typical * own.lognormal(0, OWN_HARMONICS, len(orders))
    amplitudes[teeth - 1 :: teeth] += family.uniform(0.3, 0.5) / np.arange(1, 5)
    return tuple((amplitudes * np.sqrt(2 / np.sum(amplitudes**2))).tolist())


def _modes(span: tuple[float, float], family: np.random.Generator, own: np.random.Generator) -> tuple[Mode, ...]:
    """Draw the type's resonances, spread over `span` in Hz, as they came out in one machine: all a bit off."""
    frequencies = np.geomspace(*span, MODES) * family.uniform(0.85, 1.15, MODES)
    dampings, gains = family.uniform(0.015, 0.04, MODES), family.uniform(1.5, 4.5, MODES)
    frequencies *= own.uniform(1 - OWN_TUNING, 1 + OWN_TUNING) * own.uniform(0.985, 1.015, MODES)
    gains *= own.lognormal(0, 0.1, MODES)
    return tuple(Mode(*mode) for mode in np.stack([frequencies, dampings, gains], axis=1).tolist())
