from pathlib import Path

import pytest

from collab_asd.core.types import Clip
from collab_asd.data.problems import (
    Problem,
    describe,
    machine_problems,
    mislabelled,
    repeated,
    too_few_distinct,
)


def clip(name, split="train", label=0, machine="00", machine_type="fan"):
    return Clip(Path(name), machine_type, machine, split, label, "0" * 64)


def machine(machine_id, train=3, test=(0, 1), machine_type="fan"):
    """So many training clips, and test clips with these labels."""
    clips = [clip(f"{machine_id}-train-{i}", "train", 0, machine_id, machine_type) for i in range(train)]
    return clips + [clip(f"{machine_id}-test-{i}", "test", x, machine_id, machine_type) for i, x in enumerate(test)]


def name(some):
    return some.path.name


def found(problems):
    """Severity, subject and first word of what is wrong."""
    return [(problem.severity, problem.subject, problem.what.split(":")[0]) for problem in problems]


def test_nothing_is_wrong_with_two_complete_machines():
    assert machine_problems(machine("00") + machine("02"), "machine-type", shares=True) == []


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        (machine("00", train=0), ("error", "fan/00", "nothing to train on")),
        (machine("00", train=2), ("error", "fan/00", "nothing to train on")),
        (machine("00", test=()), ("warning", "fan/00", "no test clips")),
        (machine("00", test=(0, None)), ("note", "fan/00", "no labelled anomalies")),
        (machine("00", test=(1, None)), ("note", "fan/00", "no labelled normal test clips")),
    ],
)
def test_rules_for_one_machine(clips, expected):
    assert found(machine_problems(clips + machine("02"), "machine-type", shares=True)) == [expected]


def test_what_is_missing_for_training_is_told_apart():
    anomalies = [clip(f"{i}", "train", 1) for i in range(4)]
    for clips, what in [
        (machine("00", train=0), "nothing to train on: it has test clips but no training clips"),
        (machine("00", train=0) + anomalies, "nothing to train on: no normal training clips"),
        (machine("00", train=1) + anomalies, "nothing to train on: too few normal training clips (1)"),
    ]:
        (problem,) = machine_problems(clips, "machine-type", shares=False)
        assert problem.what == what


def test_training_clips_without_labels_are_taken_as_normal():
    clips = [clip(f"{i}", "train", None) for i in range(3)] + machine("00", train=0)
    assert machine_problems(clips, "machine-type", shares=False) == []


def test_only_machine_of_its_group():
    clips = machine("00") + machine("02") + machine("04", machine_type="pump")
    lonely = machine_problems(clips, "machine-type", shares=True)
    assert found(lonely) == [("error", "pump/04", "the only machine of its group")]
    assert "group by 'all'" in lonely[0].remedy
    assert machine_problems(clips, "all", shares=True) == []
    assert machine_problems(clips, "machine-type", shares=False) == []


def test_only_machine_of_all():
    (lonely,) = machine_problems(machine("00"), "all", shares=True)
    assert "group by" not in lonely.remedy


def test_anomaly_among_training_clips():
    clips = [clip("a"), clip("b", "train", 1), clip("c", "test", 1), clip("d", "train", None)]
    (problem,) = mislabelled(clips, name)
    assert (problem.severity, problem.subject, problem.path) == ("error", "b", Path("b"))


def test_copy_across_training_and_test_is_the_training_clips_fault():
    (problem,) = repeated([(clip("a"), "x"), (clip("b", "test"), "x"), (clip("c"), "y")], name)
    assert (problem.severity, problem.subject, problem.path) == ("error", "a", Path("a"))
    assert "test clip b" in problem.what


def test_copies_within_a_split_are_worth_a_look():
    problems = list(repeated([(clip("a"), "x"), (clip("b"), "x"), (clip("c"), "x")], name))
    assert [(problem.severity, problem.subject, problem.path) for problem in problems] == [
        ("warning", "b", None),
        ("warning", "c", None),
    ]


@pytest.mark.parametrize("split", ["train", "test"])
def test_copies_under_two_machines_are_all_at_fault(split):
    problems = list(repeated([(clip("a"), "x"), (clip("b", split, machine="02"), "x")], name))
    assert [(problem.severity, problem.subject, problem.path) for problem in problems] == [
        ("error", "a", Path("a")),
        ("error", "b", Path("b")),
    ]


def test_training_clips_that_are_copies_count_once():
    audio = [(clip(f"{i}"), "xy"[i % 2]) for i in range(9)] + [(clip(f"b{i}", machine="02"), f"{i}") for i in range(3)]
    (problem,) = too_few_distinct(audio)
    assert (problem.severity, problem.subject) == ("error", "fan/00")
    assert "2 distinct recordings among 9" in problem.what


def test_copies_with_contradicting_labels():
    problems = list(repeated([(clip("a", "test", 0), "x"), (clip("b", "test", 1), "x")], name))
    errors = [problem.subject for problem in problems if problem.severity == "error"]
    assert errors == ["a", "b"]


def test_description_joins_what_is_alike_and_puts_errors_first():
    figures = [Problem("error", x, "bad", "mend", detail=f"peak {x}") for x in "ab"]
    assert describe(figures) == [("error", "a (peak a), b (peak b): bad; mend")]
    problems = [Problem("warning", "z", "odd", "look"), *(Problem("error", f"{i}", "bad", "mend") for i in range(7))]
    assert describe(problems) == [("error", "0, 1, 2, 3, 4 and 2 more: bad; mend"), ("warning", "z: odd; look")]
