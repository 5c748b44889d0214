import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.partitions import by_attribute, by_machine, by_section, partition, places


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
    with pytest.raises(InputError, match="group-by: 'colour' is not one of machine-type, section, all"):
        by_machine(CLIPS, "colour")


def section(machine, split, number, **attributes):
    name = f"{machine}/{split}/{number}.wav"
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    machine_type, machine_id = machine.split("/")
    return Clip(Path(name), machine_type, machine_id, split, 0, sha256, attributes=tuple(attributes.items()))


def sections():
    """Two machine types of two sections; 12 training clips of each load, 2 test clips of each and 2 of neither."""
    return [
        section(f"{kind}/section_0{i}", split, f"{load}{n}", **({"load": load, "site": f"{kind}{i}"} if load else {}))
        for kind in ("fan", "pump")
        for i in (0, 1)
        for split, count, loads in (("train", 12, ("high", "low")), ("test", 2, ("high", "low", "")))
        for load in loads
        for n in range(count)
    ]


def test_a_section_is_held_by_one_client_whatever_its_type():
    first, second = by_section(sections(), "section")
    assert {clip.machine for clip in first.clips} == {"fan/section_00", "pump/section_00"}
    assert set(first.groups) == {0}
    assert set(second.groups) == {1}
    assert set(second.classes) == {0, 1}


def test_each_value_of_an_attribute_is_a_client_and_test_clips_follow_it():
    partitions = by_attribute(sections(), "machine-type", "load", seed=0)
    for held, load in zip(partitions, ("high", "low"), strict=True):
        assert {clip.attribute("load") for clip in held.clips} == {load, ""}
        assert len(held.indices("train")) == 48
        assert len(held.indices("test")) == 12
        assert len(set(zip(held.groups, held.classes, strict=True))) == 4
    assert len({clip.path for p in partitions for clip in p.clips}) == len(sections())


def test_machines_with_the_same_value_of_an_attribute_are_one_group():
    clips = sections() + [section("saw/section_00", "train", n, site="fan0") for n in range(12)]
    groups = {
        clip.machine: group
        for p in by_machine(clips, "attribute:site")
        for clip, group in zip(p.clips, p.groups, strict=True)
    }
    assert groups["saw/section_00"] == groups["fan/section_00"]
    assert len(set(groups.values())) == 4


def test_attribute_that_no_clip_has_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="no attribute 'speed'; there is load, site"):
        by_attribute(sections(), "all", "speed", seed=0)
    with pytest.raises(InputError, match="fan/section_00: its training clips have no attribute 'speed'"):
        by_machine(sections(), "attribute:speed")
    with pytest.raises(InputError, match="attribute = '': goes with"):
        RunConfig(partition="attribute")
    with pytest.raises(InputError, match="attribute = 'load': goes with"):
        RunConfig(attribute="load")
