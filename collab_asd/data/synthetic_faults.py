"""What can break: each fault turns a healthy machine into a damaged one, which is then rendered like any other.

A fault is a function ``(machine, severity) -> machine``; severity runs from 0 (nothing) to 1 (plain to the ear).
`FAULTS` says which faults each machine type can have. Several of them (`slow`, `fast`, `detuned`) move a machine towards
its siblings rather than away from all that is known: there it helps to know the other machines' sounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from collab_asd.data.synthetic_machines import Impacts, Machine, shifted

FaultModel = Callable[[Machine, float], Machine]


@dataclass(frozen=True)
class Fault:
    """A fault's kind, a key of ``FAULTS[machine_type]``, and its severity in [0, 1]."""

    kind: str
    severity: float


def imbalance(machine: Machine, severity: float) -> Machine:
    """A mass off the axis: the first orders grow and the whole sound beats once per revolution."""
    first, second, *others = machine.harmonics
    harmonics = (first * (1 + 3 * severity), second * (1 + 1.5 * severity), *others)
    return replace(machine, harmonics=harmonics, sideband=0.5 * severity)


def bearing(machine: Machine, severity: float) -> Machine:
    """A pit in the outer race: a sharp blow per passing ball, with 1 % slip (Randall and Antoni, 2011)."""
    return _with_impacts(machine, Impacts(machine.bearing_order, 1.0 * severity, contact=0.0002, slip=0.01))


def broken_tooth(machine: Machine, severity: float) -> Machine:
    """One tooth or blade is damaged: a blow per revolution, and sidebands around the mesh order."""
    damaged = _with_impacts(machine, Impacts(1.0, 0.5 * severity, contact=0.0005))
    return replace(damaged, sideband=0.6 * severity)


def looseness(machine: Machine, severity: float) -> Machine:
    """Loose bolts: the structure rings lower and duller, and rattles irregularly, twice per revolution."""
    loose = _with_impacts(machine, Impacts(2.0, 0.4 * severity, contact=0.001, slip=0.15))
    return replace(loose, modes=shifted(loose.modes, 1 - 0.06 * severity, damping=1 + 0.5 * severity))


def detuned(machine: Machine, severity: float) -> Machine:
    """A belt or mount under wrong tension: all resonances move up, as if it were another machine of its type."""
    return replace(machine, modes=shifted(machine.modes, 1 + 0.10 * severity))


def slow(machine: Machine, severity: float) -> Machine:
    """Low voltage or something that drags: the shaft turns up to 18 % slower than it was set to."""
    return replace(machine, drag=0.18 * severity)


def fast(machine: Machine, severity: float) -> Machine:
    """Missing resistance, such as a blocked inlet: up to 15 % faster, with less flow."""
    return replace(machine, drag=-0.15 * severity, flow=machine.flow * (1 - 0.4 * severity))


def leak(machine: Machine, severity: float) -> Machine:
    """A jet of air or water from a seal: steady noise at high frequencies."""
    return replace(machine, hiss=0.7 * severity)


def cavitation(machine: Machine, severity: float) -> Machine:
    """Bubbles that collapse, some at each passing vane: crackling without a steady rhythm."""
    return _with_impacts(machine, Impacts(3.0 * machine.teeth, 0.8 * severity, contact=0.0002, slip=0.6))


def stall(machine: Machine, severity: float) -> Machine:
    """The flow breaks away and comes back: slow swelling of a noise that turns to low frequencies."""
    return replace(machine, surge=0.9 * severity, flow_slope=machine.flow_slope - 2.5 * severity)


def rubbing(machine: Machine, severity: float) -> Machine:
    """Dry surfaces slide on each other: a faint squeal while the machine moves."""
    return replace(machine, squeal=0.6 * severity)


def damaged_rail(machine: Machine, severity: float) -> Machine:
    """A notch on the way: one more blow per working cycle, where the carriage passes it."""
    return _with_impacts(machine, Impacts(1 / machine.cycle, 0.9 * severity, contact=0.0008, offset=0.3))


def sticking(machine: Machine, severity: float) -> Machine:
    """Dirt in the guide: blows come late and irregularly, and are softer."""
    soft = tuple(
        replace(
            blow, slip=0.08 * severity, contact=blow.contact * (1 + severity), level=blow.level * (1 - 0.3 * severity)
        )
        for blow in machine.impacts
    )
    return replace(machine, impacts=soft)


FAULTS: dict[str, dict[str, FaultModel]] = {
    "ToyCar": {"bent_shaft": imbalance, "broken_gear": broken_tooth, "bearing": bearing, "low_voltage": slow},
    "ToyConveyor": {"belt_tension": detuned, "looseness": looseness, "dry_roller": rubbing, "overload": slow},
    "fan": {"imbalance": imbalance, "bearing": bearing, "stall": stall, "blocked_inlet": fast},
    "pump": {"leak": leak, "cavitation": cavitation, "bearing": bearing, "clogging": slow},
    "slider": {"rail_damage": damaged_rail, "dry_rail": rubbing, "looseness": looseness, "belt_tension": detuned},
    "valve": {"leak": leak, "sticking": sticking, "looseness": looseness, "weak_spring": detuned},
}


def damage(machine: Machine, fault: Fault | None) -> Machine:
    """The machine with a fault of its type; itself if there is none."""
    return machine if fault is None else FAULTS[machine.machine_type][fault.kind](machine, fault.severity)


def _with_impacts(machine: Machine, extra: Impacts) -> Machine:
    return replace(machine, impacts=(*machine.impacts, extra))

