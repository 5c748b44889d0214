"""What is refused before anything that takes long is imported, and before anything is written."""

import json
import os
import re
import subprocess
import sys

import click
import pytest
import typer
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.config import RunConfig, settings
from collab_asd.core.schemas import DETECTOR
from collab_asd.deployment.consortium import Consortium
from collab_asd.experiments.experiment import shipped_experiments

HEAVY = ("torch", "flwr", "ray", "sklearn", "matplotlib", "pandas")
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from collab_asd.cli.main import app
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    print(json.dumps([result.exit_code, result.output, heavy]))
"""
REFUSED = [  # arguments, and words of the message; FILE is a file and EMPTY an empty folder
    ("run --data /nowhere", "/nowhere: no such folder"),
    ("run --data EMPTY", "the folder is empty"),
    ("run --method fedagv", "did you mean 'fedavg'"),
    ("run --encoder yamnett", "did you mean 'yamnet'?"),
    ("run --engine inproces", "did you mean 'inprocess'?"),
    ("run --set scorer=fusoin", "did you mean 'fusion'?"),
    ("run --set scorer=knn --set local-scorer=gnm", "local-scorer 'gnm'"),
    ("run --method local-knn --set codec=zip", "codec = 'zip'"),
    ("run --set metric=cosin", "did you mean 'cosine'?"),
    ("run --set preset=papper", "did you mean 'paper'?"),
    ("run --set device=gpu", "device = 'gpu'"),
    ("run --method local-vae", "add --encoder logmel"),
    ("run --method split-learning --encoder yamnet", "not of 'yamnet'"),
    ("run --method fedavg --encoder waveform", "--method centralized"),
    ("run --encoder yamnet --weights /nowhere.h5", "/nowhere.h5: no such file"),
    ("run --set encoder-key-file=/nowhere.key", "/nowhere.key"),
    ("run --set join=/nowhere", "join = /nowhere"),
    ("run --out FILE", "FILE: is a file"),
    ("run --out FILE/below", "FILE is a file"),
    ("run --set results-dir=FILE/below", "FILE is a file"),
    ("run --set cache-dir=FILE/below", "cache-dir=FOLDER"),
    ("run --out ~nobody-at-all/x", "~"),
    ("run --supernodes 0", "--supernodes"),
    ("compare toycra", "did you mean 'toycar'?"),
    ("compare ./nope.toml", "./nope.toml: no such file"),
    ("compare synthetic --set codec=zip", "codec = 'zip'"),
    ("compare synthetic --out FILE", "FILE: is a file"),
    ("compare toycar --data /nowhere", "/nowhere: no such folder"),
    ("compare toycar --weights logmle=x", "did you mean 'logmel'?"),
    ("score /nowhere EMPTY/..", "/nowhere: no detector there"),
    ("run --supernodes 1", "--supernodes 1, but method 'embedding-sharing'"),
    ("run --set min-clients=9", "--supernodes 4, but min-clients = 9"),
    ("run --data ONE --out EMPTY/new", "1 machine, but method 'embedding-sharing'"),
    ("run --set rotation-key-file=/nowhere", "rotation-key-file /nowhere: No such file"),
    ("score DETECTOR ONE --explain FILE", "FILE: is a file, not a folder; name another folder with --explain"),
    ("score DETECTOR ONE --normals /nowhere", "--normals /nowhere: no such folder"),
    ("score DETECTOR ONE --false-alarm-rate 3", "--false-alarm-rate 3.0: must lie between 0 and 1"),
    ("score DETECTOR ONE --rotation-key-file /nowhere", "rotation-key-file /nowhere: No such file"),
    ("score DETECTOR /nowhere --watch", "/nowhere: no such folder to watch"),
    ("score DETECTOR FILE --watch", "FILE: no such folder to watch"),
    ("score EMPTY /nowhere.wav", "/nowhere.wav: no such file"),
    ("report /nowhere", "/nowhere: holds no finished run"),
    ("audit /nowhere", "/nowhere: no such folder"),
    ("audit EMPTY", "no config.json"),
    ("embed /nowhere", "/nowhere: no such folder"),
    ("embed EMPTY --encoder logmle", "did you mean 'logmel'?"),
    ("compare EMPTY", "EMPTY: not an experiment file (Is a directory)"),
    ("encoders fetch yamnet nope", "encoder 'nope' does not exist"),
    ("encoders fetch yamnet --to FILE", "FILE: is a file, not a folder; name another with --to"),
    ("encoders verify yamnet nope", "encoder 'nope' does not exist"),
    ("encoders verify --weights /nowhere", "--weights /nowhere: name the one encoder"),
    ("encoders bundle yamnet /nowhere --key FILE", "/nowhere: no such file"),
    ("encoders unbundle FILE --signer FILE --agreement /nowhere", "agreement /nowhere: No such file or directory"),
    ("encoders info openl3", "'openl3-512'"),
    ("data check /nowhere", "/nowhere: no such folder"),
    ("data check EMPTY --group-by machine_type", "did you mean 'machine-type'?"),
    ("data check EMPTY --seconds 0", "--seconds 0.0: must be more than 0"),
    ("data download dcase2020 FILE", "FILE: is a file, not a folder"),
    ("data synth FILE", "FILE: is a file"),
    ("data synth FILE/below", "FILE is a file"),
    ("deploy init FILE/below --clients 2 --host a", "FILE is a file"),
    ("deploy init EMPTY/new --clients 2 --host a --encoder logmle", "did you mean 'logmel'?"),
    ("deploy init EMPTY/new --clients 2 --host http://a", "--host 'http://a': neither a name nor an address"),
    ("deploy certificate EMPTY --host a:1", "--host 'a:1': neither a name nor an address"),
    ("deploy certificate EMPTY --host a", "ca.key: cannot be read (No such file or directory)"),
    ("deploy local CONSORTIUM --out FILE", "FILE: is a file, not a folder; name another folder with --out"),
    ("deploy local CONSORTIUM --set sead=1", "configuration key 'sead' does not exist"),
    ("deploy local CONSORTIUM --data ONE", "1 machine for 2 clients"),
    ("deploy run CONSORTIUM/server --out FILE", "FILE: is a file, not a folder"),
    ("deploy run CONSORTIUM/server --set sead=1", "configuration key 'sead' does not exist"),
    ("deploy forget /nowhere --client 0", "/nowhere"),
    ("deploy local /nowhere", "/nowhere"),
    ("config sead", "did you mean 'seed'?"),
    ("rnu", "did you mean 'run'?"),
    ("data chek", "did you mean 'check'?"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    (folder / "file.wav").touch()
    (folder / "empty").mkdir()
    (folder / "one" / "fan" / "train").mkdir(parents=True)
    (folder / "one" / "fan" / "train" / "normal_id_00_0.wav").touch()
    (folder / "detector").mkdir()
    card = {"machine_type": "fan", "machine_id": "00", "encoder": "logmel"}
    description = DETECTOR.stamp | {"card": card}
    (folder / "detector" / "detector.json").write_text(json.dumps(description))
    Consortium(2, ["localhost"], RunConfig(encoder="logmel"), 9443, False).write(folder / "consortium")
    return folder


@pytest.fixture(scope="module")
def before(places):
    return set(places.rglob("*"))


@pytest.fixture(scope="module")
def answers(before, places):
    """Exit code, output and heavy modules after each of the commands, all in one process."""
    commands = [in_place(words, places).split() for words, _ in REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands), json.dumps(HEAVY)],
        cwd=places, env=os.environ | {"COLUMNS": "250"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {words: json.loads(line) for (words, _), line in zip(REFUSED, done.stdout.splitlines(), strict=True)}


def in_place(words, places):
    named = {"FILE": "file.wav", "EMPTY": "empty", "ONE": "one", "DETECTOR": "detector", "CONSORTIUM": "consortium"}
    return re.sub("|".join(named), lambda found: str(places / named[found[0]]), words)


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_refused_with_one_message_and_before_any_heavy_import(answers, places, arguments, words):
    code, output, heavy = answers[arguments]
    assert code == 2
    assert in_place(words, places) in output
    assert "Traceback" not in output
    assert heavy == []


def test_nothing_is_left_behind(before, answers, places):
    assert set(places.rglob("*")) == before


def test_a_folder_that_only_a_real_try_shows_to_be_read_only(places):
    for option in ("--out=/proc/x", "--set=cache-dir=/proc/x"):
        result = CliRunner().invoke(app, ["run", option])
        assert result.exit_code == 2
        assert "/proc/x: nothing can be written there" in result.output


def test_an_error_of_the_operating_system_is_a_sentence(tmp_path, monkeypatch):
    def write(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "x"))

    monkeypatch.setattr("collab_asd.data.synthetic.dataset.write_dataset", write)
    result = CliRunner().invoke(app, ["data", "synth", str(tmp_path / "new"), "-q"])
    assert result.exit_code == 2
    assert result.output.startswith(f"error: {tmp_path / 'x'}: permission denied; ")


def test_a_device_that_is_not_there_leaves_no_result_folder(machines, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for command in (["run", "--data", machines], ["compare", "synthetic"]):
        result = CliRunner().invoke(app, [*map(str, command), "--set", "device=cuda", "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert "device = 'cuda'" in result.output
        assert not (tmp_path / "out").exists()


def parameters(command, path=()):
    """Each parameter of each command, with the words that call it."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from parameters(command.get_command(context, name), (*path, name))
    for parameter in command.params:
        yield path, parameter


@pytest.mark.parametrize(
    ("path", "parameter"),
    parameters(typer.main.get_command(app)),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.name,
)
def test_every_argument_and_option_has_help(path, parameter):
    assert getattr(parameter, "help", None)


def test_help_shows_arguments_and_the_shipped_experiments():
    shown = CliRunner().invoke(app, ["compare", "--help"], env={"COLUMNS": "200"}).output
    assert f"one of: {', '.join(shipped_experiments())}" in shown
    assert {"synthetic", "toycar"} < set(shipped_experiments())


def test_version_names_what_a_report_of_a_fault_needs():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("collab-asd ")
    for package in ("Python 3.", "flwr 1.", "torch 2."):
        assert package in result.output


def test_config_lists_every_key_and_describes_one():
    listed = CliRunner().invoke(app, ["config"]).output
    assert [line.split()[0] for line in listed.splitlines()] == ["key", *settings()]
    one = CliRunner().invoke(app, ["config", "local-scorer"]).output
    assert settings()["local-scorer"].description in one
    assert "choices: knn, lof, mahalanobis, gmm" in one
    assert "at least 0 and less than 1" in CliRunner().invoke(app, ["config", "calibration"]).output


def test_config_knows_the_keys_of_an_agreement():
    shown = CliRunner().invoke(app, ["config", "codec-bases"])
    assert shown.exit_code == 0
    assert re.search(r"default: 4\ntype: .*from 1 to 10,000\nset by: .*agreement\.toml", shown.output)


def test_config_as_json():
    every = json.loads(CliRunner().invoke(app, ["config", "--json"]).output)
    assert [entry["key"] for entry in every] == list(settings())
    seed = json.loads(CliRunner().invoke(app, ["config", "seed", "--json"]).output)
    assert (seed["default"], seed["type"], seed["range"], seed["choices"]) == (0, "whole number", "at least 0", [])
    method = json.loads(CliRunner().invoke(app, ["config", "method", "--json"]).output)
    assert {"embedding-sharing", "fedavg", "local-knn"} < set(method["choices"])
