import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.partitions import by_machine, partition, places


def clip(machine_type, machine_id, number):
    split = "test" if number % 3 else "train"
    sha256 = hashlib.sha256(f"{machine_type}{machine_id}{number}".encode()).hexdigest()
    return Clip(Path(f"{machine_type}-{machine_id}-{number}.wav"), machine_type, machine_id, split, number % 2, sha256)


MACHINES = [("pump", "00"), ("fan", "02"), ("fan", "00"), ("pump", "04"), ("fan", "10")]
CLIPS = [clip(*machine, number) for number in range(6) for machine in MACHINES]


def machines_of(partitions):
    return [{clip.machine for clip in part.clips} for part in partitions]


@pytest.mark.parametrize(
    ("group_by", "groups", "classes"),
    [("machine-type", [0, 0, 0, 1, 1], [0, 1, 2, 0, 1]), ("all", [0, 0, 0, 0, 0], [0, 1, 2, 3, 4])],
)
def test_one_client_per_machine(group_by, groups, classes):
    partitions = by_machine(CLIPS, group_by)
    assert machines_of(partitions) == [{"fan/00"}, {"fan/02"}, {"fan/10"}, {"pump/00"}, {"pump/04"}]
    assert [part.client for part in partitions] == [0, 1, 2, 3, 4]
    assert [set(part.groups) for part in partitions] == [{group} for group in groups]
    assert [set(part.classes) for part in partitions] == [{label} for label in classes]
    assert all(len(part.clips) == len(part.groups) == len(part.classes) == 6 for part in partitions)


@given(st.permutations(CLIPS))
def test_order_of_the_clips_comes_from_their_content_alone(shuffled):
    partitions = by_machine(shuffled, "machine-type")
    assert partitions == by_machine(CLIPS, "machine-type")
    for part in partitions:
        assert [clip.sha256 for clip in part.clips] == sorted(clip.sha256 for clip in part.clips)


def test_a_client_may_hold_a_mixture():
    (mixed,) = partition([[clip("fan", "02", 1), clip("pump", "04", 1)]], places(CLIPS, "machine-type"))
    where = {
        c.machine: (group, label) for c, group, label in zip(mixed.clips, mixed.groups, mixed.classes, strict=True)
    }
    assert where == {"fan/02": (0, 1), "pump/04": (1, 1)}


def test_unknown_grouping():
    with pytest.raises(InputError, match="group-by: 'colour' is not one of machine-type, all"):
        by_machine(CLIPS, "colour")
