"""Properties that every deal has, and what is refused."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset
from flwr_datasets.partitioner import NaturalIdPartitioner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.partitions import FEWEST, apportion, by_attribute, by_machine, dirichlet, iid

slowly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def clips_of(machine, train, test):
    """Half of the test clips are anomalies."""
    machine_type, machine_id = machine
    made = []
    for split, count in (("train", train), ("test", test)):
        for i in range(count):
            name = f"{machine_type}-{machine_id}-{split}-{i}"
            label = i % 2 if split == "test" else 0
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            made.append(Clip(Path(f"{name}.wav"), machine_type, machine_id, split, label, sha256))
    return made


def data(*counts):
    """Machines with so many (training, test) clips: two fans, then pumps."""
    names = [("fan", "00"), ("fan", "02"), ("pump", "01"), ("pump", "03"), ("pump", "05"), ("pump", "07")]
    return [
        clip for machine, (train, test) in zip(names, counts, strict=False) for clip in clips_of(machine, train, test)
    ]


def held(partitions, split):
    """Number of clips by client and machine."""
    return Counter((p.client, clip.machine) for p in partitions for clip in p.clips if clip.split == split)


counts = st.lists(st.tuples(st.integers(FEWEST, 60), st.integers(0, 25)), min_size=1, max_size=5)


def possible(deal, *args):
    try:
        return deal(*args)
    except InputError:
        assume(False)


@slowly
@given(counts, st.integers(0, 5), st.sampled_from([0.05, 0.3, 1.0, 10.0, "iid"]), st.integers(0, 9))
def test_whatever_is_dealt(machines, clients, alpha, seed):
    clips = data(*machines)
    deal = (
        (iid, clips, "machine-type", clients, seed)
        if alpha == "iid"
        else (dirichlet, clips, "all", clients, alpha, seed)
    )
    partitions = possible(*deal)
    assert [p.client for p in partitions] == list(range(clients or len(machines)))
    assert sorted(clip.sha256 for p in partitions for clip in p.clips) == sorted(clip.sha256 for clip in clips)
    train, test = held(partitions, "train"), held(partitions, "test")
    assert all(count >= FEWEST for count in train.values())
    assert test.keys() <= train.keys()
    assert all(p.indices("train") for p in partitions)
    for p in partitions:
        assert [clip.sha256 for clip in p.clips] == sorted(clip.sha256 for clip in p.clips)
    totals = Counter(), Counter()
    for total, part in zip(totals, (train, test), strict=True):
        for (_, machine), count in part.items():
            total[machine] += count
    for place, count in train.items():  # test clips in proportion, to within a clip
        assert abs(test[place] - totals[1][place[1]] * count / totals[0][place[1]]) < 1


@slowly
@given(counts, st.integers(1, 4), st.integers(0, 9), st.randoms(use_true_random=False))
def test_a_deal_looks_at_no_label_and_at_no_order(machines, clients, seed, random):
    clips = data(*machines)
    flipped = [replace(clip, label=1 - clip.label if clip.split == "test" else 0) for clip in clips]
    random.shuffle(flipped)
    for deal, *rest in ((dirichlet, clients, 0.5, seed), (iid, clients, seed)):
        dealt, again = (possible(deal, c, "machine-type", *rest) for c in (clips, flipped))
        names = [[[clip.path for clip in p.clips] for p in partitions] for partitions in (dealt, again)]
        assert names[0] == names[1]


@pytest.mark.parametrize(
    "deal", [lambda c, seed: dirichlet(c, "all", 3, 0.5, seed), lambda c, seed: iid(c, "all", 3, seed)]
)
def test_the_seed_decides(deal):
    clips = data((40, 20), (40, 20), (40, 20))
    assert deal(clips, 1) == deal(clips, 1)
    assert deal(clips, 1) != deal(clips, 2)


def test_iid_is_even_to_within_a_clip():
    partitions = iid(data((44, 10), (61, 10), (30, 10)), "machine-type", 3, seed=0)
    train = held(partitions, "train")
    assert [sorted(train[client, m] for client in range(3)) for m in ("fan/00", "fan/02", "pump/01")] == [
        [14, 15, 15],
        [20, 20, 21],
        [10, 10, 10],
    ]


def test_a_tiny_alpha_is_one_machine_per_client():
    partitions = dirichlet(data((50, 10), (50, 10), (50, 10)), "all", 0, alpha=1e-4, seed=0)
    assert sorted(held(partitions, "train").values()) == [50, 50, 50]
    assert sorted({clip.machine for clip in p.clips} == {p.clips[0].machine} for p in partitions) == [True] * 3


def test_a_huge_alpha_is_iid():
    train = held(dirichlet(data((300, 10), (300, 10), (300, 10)), "all", 3, alpha=1e5, seed=0), "train")
    assert len(train) == 9
    assert all(97 <= count <= 103 for count in train.values())


def test_one_machine_per_client_is_what_the_natural_partitioner_deals():
    clips = data((12, 4), (15, 3), (11, 5))
    partitioner = NaturalIdPartitioner("machine")
    partitioner.dataset = Dataset.from_dict({"clip": range(len(clips)), "machine": [clip.machine for clip in clips]})
    for p in by_machine(clips, "all"):
        natural = {clips[i].path for i in partitioner.load_partition(p.client)["clip"]}
        assert natural == {clip.path for clip in p.clips}


def test_groups_and_classes_are_those_of_the_machines():
    for p in iid(data((20, 4), (20, 4), (20, 4)), "machine-type", 2, seed=0):
        places = {clip.machine: place for clip, *place in zip(p.clips, p.groups, p.classes, strict=True)}
        assert places == {"fan/00": [0, 0], "fan/02": [0, 1], "pump/01": [1, 0]}


def test_ten_clips_are_enough_to_stay_and_nine_are_passed_on():
    loads = ["a"] * 12 + ["b"] * 10 + ["c"] * 9
    clips = [
        replace(clip, attributes=(("load", load),))
        for clip, load in zip(clips_of(("fan", "00"), 31, 0), loads, strict=True)
    ]
    assert [len(p.clips) for p in by_attribute(clips, "all", "load", seed=0)] == [21, 10]


def test_largest_remainders_by_hand():
    # 7 in proportion 5 : 3 : 2 is 3.5, 2.1 and 1.4: whole parts 3, 2 and 1, and the one left goes to the half.
    assert apportion(7, [5, 3, 2]) == [4, 2, 1]
    assert apportion(1, [0, 2, 2]) == [0, 1, 0]
    assert apportion(0, [3, 0]) == [0, 0]


@pytest.mark.parametrize(
    ("deal", "words"),
    [
        (lambda c: iid(c, "all", 3, 0), r"fan/02 has 25 training clips, and 3 clients need 10 .* at most clients = 2"),
        (lambda c: iid(c, "all", 9, 0), r"fan/02 has 25 .* 9 clients .* at most clients = 2"),
        (lambda c: dirichlet(c, "all", 9, 0.5, 0), "clients = 9: .* there are clips for 6"),
        (
            lambda c: dirichlet(c, "all", 4, 1e-4, 0),
            "dirichlet-alpha = 0.0001: 100 draws left one of 4 clients without",
        ),
        (lambda c: iid([*c, *clips_of(("pump", "01"), 0, 3)], "all", 1, 0), "pump/01 has no training"),
        (lambda c: iid(clips_of(("fan", "09"), 5, 2), "all", 1, 0), "fan/09 has 5 .* partition = machine"),
        (lambda c: iid(c, "colour", 2, 0), "group-by: 'colour'"),
        (lambda c: iid([clip for clip in c if clip.split == "test"], "all", 2, 0), "no training clips"),
    ],
)
def test_the_impossible_is_refused(deal, words):
    with pytest.raises(InputError, match=words):
        deal(data((40, 4), (25, 4)))
