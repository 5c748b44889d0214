import tomllib
from pathlib import Path

import pytest

from collab_asd.config import RunConfig, parse_assignment
from collab_asd.errors import InputError

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_defaults_are_those_that_flower_reads():
    declared = tomllib.loads(PYPROJECT.read_text())["tool"]["flwr"]["app"]["config"]
    assert RunConfig().to_mapping() == declared


def test_text_values_become_their_types():
    config = RunConfig.from_mapping({"seed": "3", "false-alarm-rate": "0.05", "encoder": "logmel"})
    assert (config.seed, config.false_alarm_rate, config.encoder) == (3, 0.05, "logmel")


def test_whole_number_may_stand_for_a_float():
    assert RunConfig.from_mapping({"timeout": 60}).timeout == 60.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sead": 1}, ["sead", "seed"]),
        ({"seed": "seven"}, ["seed", "seven", "int"]),
        ({"seed": 1.5}, ["seed", "1.5", "int"]),
        ({"seed": True}, ["seed", "bool"]),
        ({"seed": -1}, ["seed", "at least 0"]),
        ({"inference": "cloud"}, ["inference", "cloud", "client", "server"]),
        ({"preset": "slow"}, ["preset", "fast, paper"]),
        ({"false-alarm-rate": 1.0}, ["false-alarm-rate", "between 0 and 1"]),
        ({"timeout": 0}, ["timeout", "positive"]),
        ({"encoder": 5}, ["encoder", "str"]),
        ({"partition": "even"}, ["partition", "dirichlet, iid, machine"]),
        ({"dirichlet-alpha": 0}, ["dirichlet-alpha", "positive"]),
        ({"dirichlet-alpha": "inf"}, ["dirichlet-alpha", "positive"]),
        ({"clients": -1}, ["clients", "at least 0"]),
        ({"clients": 3}, ["clients = 3", "one client per machine"]),
    ],
)
def test_wrong_key_type_or_value_is_named(values, words):
    with pytest.raises(InputError) as caught:
        RunConfig.from_mapping(values)
    assert all(word in str(caught.value) for word in words)


def test_assignment_needs_an_equals_sign():
    assert parse_assignment("scorer = knn") == ("scorer", "knn")
    with pytest.raises(InputError, match="KEY=VALUE"):
        parse_assignment("scorer")
