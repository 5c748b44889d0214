import re
import tomllib
from pathlib import Path

import pytest

from collab_asd.config import RunConfig, check_choice, parse_assignment, settings
from collab_asd.core.errors import InputError

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_defaults_are_those_that_flower_reads():
    declared = tomllib.loads(PYPROJECT.read_text())["tool"]["flwr"]["app"]["config"]
    assert RunConfig().to_mapping() == declared


def test_comments_that_flower_users_read_are_the_descriptions():
    section = PYPROJECT.read_text().partition("[tool.flwr.app.config]\n")[2].partition("\n[")[0]
    comments = re.findall(r"^([\w-]+) = \S+ +# (.+)$", section, re.MULTILINE)
    assert comments == [(setting.key, setting.description) for setting in settings().values()]


@pytest.mark.parametrize("setting", settings().values(), ids=lambda setting: setting.key)
def test_a_description_names_every_choice(setting):
    assert all(choice in setting.description for choice in setting.choices)
    assert setting.range is None or setting.range.holds(setting.default)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sead", "seed"),
        ("False-Alarm-Rate", "false-alarm-rate"),
        ("false_alarm_rate", "false-alarm-rate"),
        ("epsilon", "noise-epsilon"),
        ("alpha", "dirichlet-alpha"),
    ],
)
def test_a_mistyped_key_is_told_the_nearest_and_not_all(typed, meant):
    with pytest.raises(InputError) as caught:
        RunConfig.from_mapping({typed: "0"})
    assert f"{typed!r} does not exist: did you mean '{meant}'" in str(caught.value)
    assert "page-megabytes" not in str(caught.value)


def test_a_name_like_no_other_is_told_all_if_they_are_few():
    with pytest.raises(InputError, match="choose one of knn, lof"):
        check_choice("scorer", "svm", ["lof", "knn"])
    with pytest.raises(InputError, match="`collab-asd config`") as caught:
        RunConfig.from_mapping({"xyz": 1})
    assert "seed" not in str(caught.value)


def test_text_values_become_their_types():
    config = RunConfig.from_mapping({"seed": "3", "false-alarm-rate": "0.05", "encoder": "logmel"})
    assert (config.seed, config.false_alarm_rate, config.encoder) == (3, 0.05, "logmel")


SECTION_V = {"codec": "fp32", "calibration": 0.0, "scorer": "knn", "pooling": "mean"}


@pytest.mark.parametrize(
    ("named", "differs"),
    [
        ({}, {}),
        (RunConfig().to_mapping(), {}),  # as `flwr run` passes them
        ({"scorer": "fusion"}, {"scorer": "fusion"}),
        ({"calibration": 0.2, "codec": "fp16"}, {"calibration": 0.2, "codec": "fp16"}),
    ],
)
def test_preset_paper_is_all_of_section_v_but_what_is_named(named, differs):
    config = RunConfig.from_mapping(named | {"preset": "paper"}).to_mapping()
    assert {key: config[key] for key in SECTION_V} == SECTION_V | differs
    assert RunConfig.from_mapping(config).to_mapping() == config


def test_whole_number_may_stand_for_a_float():
    assert RunConfig.from_mapping({"timeout": 60}).timeout == 60.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sead": 1}, ["sead", "seed"]),
        ({"seed": "seven"}, ["seed = 'seven'", "whole number", "collab-asd config seed"]),
        ({"seed": 1.5}, ["seed = 1.5", "whole number"]),
        ({"seed": True}, ["seed = True", "whole number"]),
        ({"seed": -1}, ["seed", "at least 0"]),
        ({"inference": "cloud"}, ["inference", "cloud", "client", "server"]),
        ({"preset": "slow"}, ["preset", "fast, paper"]),
        ({"false-alarm-rate": 1.0}, ["false-alarm-rate", "between 0 and 1"]),
        ({"timeout": 0}, ["timeout", "positive"]),
        ({"encoder": 5}, ["encoder = 5", "text"]),
        ({"partition": "even"}, ["partition", "dirichlet, iid, machine"]),
        ({"dirichlet-alpha": 0}, ["dirichlet-alpha", "positive"]),
        ({"dirichlet-alpha": "inf"}, ["dirichlet-alpha", "positive"]),
        ({"clients": -1}, ["clients", "at least 0"]),
        ({"clients": 3}, ["clients = 3", "one client per machine"]),
        *(
            ({"device": name}, [f"device = {name!r}", "cuda"])
            for name in ("gpu", "meta", "cuda:", "cuda:-1", "cpu:1", "")
        ),
        ({"learning-rate": "nan"}, ["learning-rate = nan", "positive"]),
        ({"timeout": "nan"}, ["timeout = nan", "positive"]),
        ({"page-megabytes": "inf"}, ["page-megabytes = inf", "positive"]),
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
