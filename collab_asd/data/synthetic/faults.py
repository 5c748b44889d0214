"""What can break: each fault turns a healthy machine into a damaged one, which is then rendered like any other.

A fault is a function ``(machine, severity) -> machine``; severity runs from 0 (nothing) to 1 (plain to the ear).
`FAULTS` says which faults each machine type can have. Several of them (`slow`, `fast`, `detuned`, `looseness`) move a
machine towards its siblings rather than away from all that is known: there it helps to know the siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from collab_asd.data.synthetic.machines import Impacts, Machine, shifted

FaultModel = Callable[[Machine, float], Machine]


@dataclass(frozen=True)
class Fault:
    """A fault's kind, a key of ``FAULTS[machine_type]``, and its severity in [0, 1]."""

    kind: str
    severity: float


def imbalance(machine: Machine, severity: float) -> Machine:
    """Put a mass off the axis: the first orders grow and the whole sound beats once per revolution."""
    first, second, *others = machine.harmonics
    harmonics = (first * (1 + 3 * severity), second * (1 + 1.5 * severity), *others)
    return replace(machine, harmonics=harmonics, sideband=0.5 * severity)


def bearing(machine: Machine, severity: float) -> Machine:
    """Pit the outer race: a sharp blow per passing ball, early or late by 1 % (Randall and Antoni, 2011)."""
    return _with_impacts(machine, Impacts(machine.bearing_order, 1.2 * severity, contact=0.0002, slip=0.01))


def broken_tooth(machine: Machine, severity: float) -> Machine:
    """Damage one tooth or blade: a blow per revolution, and sidebands around the mesh order."""
    damaged = _with_impacts(machine, Impacts(1.0, 0.5 * severity, contact=0.0005))
    return replace(damaged, sideband=0.6 * severity)


def looseness(machine: Machine, severity: float) -> Machine:
    """Loosen the bolts: the structure rings lower and duller, and rattles irregularly, twice per revolution."""
    loose = _with_impacts(machine, Impacts(2.0, 0.4 * severity, contact=0.001, slip=0.15))
    return replace(loose, modes=shifted(loose.modes, 1 - 0.06 * severity, damping=1 + 0.5 * severity))


def detuned(machine: Machine, severity: float) -> Machine:
    """Set a belt, spring or mount under wrong tension: all resonances move up, as in a sibling."""
    return replace(machine, modes=shifted(machine.modes, 1 + 0.10 * severity))


def slow(machine: Machine, severity: float) -> Machine:
    """Lower the voltage or let something drag: the shaft turns up to 18 % slower than it was set to."""
    return replace(machine, drag=0.18 * severity)


def fast(machine: Machine, severity: float) -> Machine:
    """Take resistance away, as a blocked inlet does: up to 15 % faster, with less flow."""
    return replace(machine, drag=-0.15 * severity, flow=machine.flow * (1 - 0.4 * severity))


def leak(machine: Machine, severity: float) -> Machine:
    """Let a jet of air or water out of a seal: steady noise at high frequencies."""
    return replace(machine, hiss=0.9 * severity)


def cavitation(machine: Machine, severity: float) -> Machine:
    """Let bubbles collapse, some at each passing vane: crackling without a steady rhythm."""
    return _with_impacts(machine, Impacts(3.0 * machine.teeth, 1.0 * severity, contact=0.0002, slip=0.6))


def stall(machine: Machine, severity: float) -> Machine:
    """Let the flow break away and come back: a noise that swells slowly and turns to low frequencies."""
    return replace(machine, surge=0.6 * severity, flow_slope=machine.flow_slope - 1.5 * severity)


def rubbing(machine: Machine, severity: float) -> Machine:
    """Let dry surfaces slide on each other: a faint squeal while the machine moves."""
    return replace(machine, squeal=0.6 * severity)


def damaged_rail(machine: Machine, severity: float) -> Machine:
    """Cut a notch into the way: one more blow per working cycle, where the carriage passes it."""
    return _with_impacts(machine, Impacts(1 / machine.cycle, 2.0 * severity, contact=0.0008, offset=0.3))


def sticking(machine: Machine, severity: float) -> Machine:
    """Put dirt into the guide: blows come irregularly and are softer."""
    irregular, soft, weak = 0.08 * severity, 1 + 0.5 * severity, 1 - 0.3 * severity
    blows = tuple(
        replace(blow, slip=irregular, contact=blow.contact * soft, level=blow.level * weak) for blow in machine.impacts
    )
    return replace(machine, impacts=blows)


FAULTS: dict[str, dict[str, FaultModel]] = {
    "ToyCar": {"bent_shaft": imbalance, "broken_gear": broken_tooth, "loose_wheel": looseness, "low_voltage": slow},
    "ToyConveyor": {"belt_tension": detuned, "looseness": looseness, "dry_roller": rubbing, "overload": slow},
    "fan": {"imbalance": imbalance, "bearing": bearing, "stall": stall, "blocked_inlet": fast},
    "pump": {"leak": leak, "cavitation": cavitation, "bearing": bearing, "clogging": slow},
    "slider": {"rail_damage": damaged_rail, "dry_rail": rubbing, "looseness": looseness, "belt_tension": detuned},
    "valve": {"leak": leak, "sticking": sticking, "looseness": looseness, "weak_spring": detuned},
}


def damage(machine: Machine, fault: Fault | None) -> Machine:
    """Give the machine a fault of its type, if there is one."""
    return machine if fault is None else FAULTS[machine.machine_type][fault.kind](machine, fault.severity)


def _with_impacts(machine: Machine, extra: Impacts) -> Machine:
    return replace(machine, impacts=(*machine.impacts, extra))
