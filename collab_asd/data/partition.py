"""Which client holds which clips.

Two questions, answered apart: *what* a clip is (its group and class, which follow from its machine alone) and *who*
holds it. A partitioner answers the second; `partition` joins the two. Mixtures of machines over clients are dealt in
`collab_asd.data.mixtures` and end with `partition`, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from collab_asd.errors import InputError
from collab_asd.interfaces import Clip, Partition

GROUP_BY = ("machine-type", "all")
FEWEST_CALIBRATION_CLIPS = 10  # with fewer, a threshold is safer from the clips that f_s was trained on

Machine = tuple[str, str]  # machine type and machine ID: sorts as a reader of the results expects


class Place(NamedTuple):
    """A machine's place among the ID classifiers: which of them, and its class there."""

    group: int
    label: int


def by_machine(clips: Sequence[Clip], group_by: str) -> list[Partition]:
    """One client per machine, as in the paper (section V-B), clients in the order of machine type and ID.

    Parameters
    ----------
    clips : sequence of Clip
    group_by : {"machine-type", "all"}
        One ID classifier per machine type, or one for all machines.

    Raises
    ------
    InputError
        If ``group_by`` is neither.
    """
    held: defaultdict[Machine, list[Clip]] = defaultdict(list)
    for clip in clips:
        held[machine_of(clip)].append(clip)
    return partition((held[machine] for machine in sorted(held)), places(clips, group_by))


def places(clips: Iterable[Clip], group_by: str) -> dict[Machine, Place]:
    """Group and class of each machine, both counted from 0 in the order of machine type and ID.

    Raises
    ------
    InputError
        If ``group_by`` is not one of `GROUP_BY`.
    """
    if group_by not in GROUP_BY:
        raise InputError(f"group-by: {group_by!r} is not one of {', '.join(GROUP_BY)}")
    groups: defaultdict[str, list[Machine]] = defaultdict(list)
    for machine in sorted({machine_of(clip) for clip in clips}):
        groups[machine[0] if group_by == "machine-type" else "all"].append(machine)
    return {
        machine: Place(group, label)
        for group, machines in enumerate(groups.values())
        for label, machine in enumerate(machines)
    }


def partition(held: Iterable[Iterable[Clip]], where: Mapping[Machine, Place]) -> list[Partition]:
    """Partitions from the clips that client 0, 1, ... hold; each in the order of content hashes."""
    return [_partition(client, clips, where) for client, clips in enumerate(held)]


def _partition(client: int, clips: Iterable[Clip], where: Mapping[Machine, Place]) -> Partition:
    ordered = tuple(sorted(clips, key=lambda clip: clip.sha256))
    placed = [where[machine_of(clip)] for clip in ordered]
    return Partition(client, ordered, tuple(place.group for place in placed), tuple(place.label for place in placed))


def machine_of(clip: Clip) -> Machine:
    """Type and ID of the machine that a clip is of."""
    return clip.machine_type, clip.machine_id


def calibration_clips(normals: int, share: float) -> int:
    """Return how many of a machine's normal clips are held back from f_s for its threshold.

    Examples
    --------
    >>> calibration_clips(175, 0.2), calibration_clips(49, 0.2)
    (35, 0)
    """
    held = int(normals * share)
    return held if held >= FEWEST_CALIBRATION_CLIPS else 0
