"""The command line: exit codes and words."""

import json
import re
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.cli.run import OUR_LINES


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


@pytest.fixture
def run(machines, cache, tmp_path):
    def run(*more, out="out"):
        fixed = ["--set", f"cache-dir={cache}", "--set", "epochs=1", "--set", "report=false", "--out", tmp_path / out]
        return call("run", "--data", machines, "--encoder", "logmel", *fixed, *more)

    return run


def test_run_prints_the_table_and_where_the_results_are(run, tmp_path):
    result = run()
    assert result.exit_code == 0, result.output
    for word in ("fan/00", "fan/01", "fan/02", "mean", "AUC", "not private", str(tmp_path / "out")):
        assert word in result.output
    again = run()
    assert again.exit_code == 2
    assert "finished run" in again.output


def test_run_whose_clients_keep_their_scores_says_where_they_are(run, tmp_path):
    result = run("--method", "local-knn", "--set", "report-scores=false", "--set", "report=true")
    assert result.exit_code == 0, result.output
    assert f"each client keeps its scores: {tmp_path / 'out' / 'client-0'}" in result.output
    assert "AUC" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "sead=1"], ["'sead'", "seed"]),
        (["--set", "seed=seven"], ["seed = 'seven'", "whole number"]),
        (["--set", "nonsense"], ["KEY=VALUE"]),
        (["--method", "magic"], ["method 'magic'", "embedding-sharing, fedadagrad"]),
        (["--encoder", "wav2vec"], ["encoder 'wav2vec'", "panns, random-conv, waveform, yamnet"]),
        (["--set", "scorer=svm"], ["scorer 'svm'", "fusion"]),
        (["--engine", "spark"], ["--engine 'spark'", "inprocess, ray"]),
        (["--encoder", "yamnet", "--weights", "/nowhere.h5"], ["/nowhere.h5"]),
        (["--encoder", "random-conv", "--set", "encoder-key-file=/nowhere.key"], ["/nowhere.key"]),
        (["--data", "/nowhere"], ["/nowhere"]),
        (["--weights", __file__], [f"encoder-weights = {__file__!r}", "'logmel' takes none"]),
        (["--set", f"encoder-key-file={__file__}"], [f"encoder-key-file = {__file__!r}", "'logmel' takes none"]),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(run, tmp_path, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert all(word in result.output for word in words), result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_weights_of_another_kind_are_refused(run, tmp_path):
    page = tmp_path / "yamnet.h5"
    page.write_text("<html>please log in</html>")
    result = run("--encoder", "yamnet", "--weights", page)
    assert result.exit_code == 2
    assert str(page) in result.output


def test_bad_clips_are_named_and_left_out_on_request(run, machines, tmp_path):
    copy = tmp_path / "copy"
    for source in machines.rglob("*.wav"):
        target = copy / source.relative_to(machines)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    bad = copy / "fan" / "train" / "normal_id_01_00000003.wav"
    bad.write_bytes(bad.read_bytes()[:5000])
    refused = run("--data", copy, out="refused")
    assert refused.exit_code == 2
    assert bad.name in refused.output
    accepted = run("--data", copy, "--skip-bad", out="accepted")
    assert accepted.exit_code == 0, accepted.output
    assert "left out: " in accepted.output
    manifest = (tmp_path / "accepted" / "manifest.csv").read_text()
    assert f"train/{bad.name}" not in manifest
    assert manifest.count("\n") == 1 + 3 * 24 - 1


@pytest.fixture
def one_machine(machines, listing, tmp_path):
    return listing(machines, tmp_path / "one.csv", lambda machine: "fan" if machine == 0 else "")


@pytest.fixture
def of_two_types(machines, listing, tmp_path):
    return listing(machines, tmp_path / "two.csv", ("fan", "pump", "").__getitem__)


@pytest.mark.parametrize(
    "method", [["local-knn"], ["local-mahalanobis"], ["local-vae"], ["local-knn", "--set", "partition=iid"]]
)
def test_one_machine_is_enough_where_nothing_is_shared(run, one_machine, method):
    result = run("--data", one_machine, "--method", *method)
    assert result.exit_code == 0, result.output
    assert "fan/00" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["1 machine, but", "--method local-mahalanobis"]),
        (["--set", "group-by=all"], ["1 machine, but", "--method local-mahalanobis"]),
        (["--set", "partition=iid"], ["1 machine, but", "--method local-mahalanobis"]),
        (["--method", "centralized", "--encoder", "waveform"], ["1 machine, but", "--method local-mahalanobis"]),
        (["--method", "fedavg", "--engine", "ray"], ["1 machine, but", "--method local-mahalanobis"]),
        (["--method", "local-knn", "--set", "min-clients=2"], ["1 machine,", "--set min-clients=1"]),
        (["--data", "", "--supernodes", "1"], ["--supernodes 2", "--method local-mahalanobis"]),
    ],
)
def test_one_machine_is_too_few_to_share_and_the_options_are_named(run, one_machine, tmp_path, options, words):
    result = run("--data", one_machine, *options)
    assert result.exit_code == 2, result.output
    assert all(word in result.output for word in words), result.output
    assert "--federation-config" not in result.output
    assert not (tmp_path / "out").exists()


def test_one_client_is_too_few_to_share_whatever_it_holds(run, tmp_path):
    result = run("--set", "partition=iid", "--set", "clients=1")
    assert result.exit_code == 2
    assert "--set clients=2" in result.output


@pytest.mark.parametrize(("machines_of", "count"), [("one_machine", 1), ("of_two_types", 2)])
def test_what_check_recommends_runs(request, run, machines_of, count):
    data = request.getfixturevalue(machines_of)
    checked = call("data", "check", data, "--quiet")
    assert checked.exit_code == 2
    report = json.loads(call("data", "check", data, "--quiet", "--json").stdout)
    assert (report["fit_to_train"], report["fit_without_sharing"]) == (False, True)
    commands = re.findall(r"collab-asd run (--data .*)", checked.output)
    assert len(commands) == count
    for number, command in enumerate(commands):
        result = run(*shlex.split(command), out=f"out{number}")
        assert result.exit_code == 0, result.output


def test_synth_makes_machines_that_check_accepts(tmp_path):
    counts = ["--train", 3, "--test-normal", 1, "--test-anomaly", 1, "--seconds", 1]
    made = call("data", "synth", tmp_path / "s", "--machines", 2, *counts)
    assert made.exit_code == 0, made.output
    checked = call("data", "check", tmp_path / "s", "--json")
    assert checked.exit_code == 0, checked.output
    assert [m["test_anomaly"] for m in json.loads(checked.stdout)["machines"]] == [1, 1]
    assert call("data", "synth", tmp_path / "s").exit_code == 2


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("04:32:24 checking 72 clips", True),
        ("\x1b[36m(ClientAppActor pid=12352)\x1b[0m 03:16:34 client 0: embedding train clips: 12", True),
        ("(ClientAppActor pid=12) 04:33:57 client 2: embedding train clips: 12", True),
        ("\x1b[92mINFO \x1b[0m:      Starting Flower Simulation", False),
        ("", False),
    ],
)
def test_lines_of_flwr_run_that_are_ours(line, ours):
    assert bool(OUR_LINES.search(line)) == ours


@pytest.mark.parametrize(
    "command",
    [[], ["run"], ["data"], ["data", "check"], ["data", "synth"], ["embed"], ["encoders"], ["encoders", "fetch"]],
)
def test_every_command_has_help(command):
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_server_side_loads_no_encoder():
    code = "import sys, simulations.server_app\nprint([m for m in sys.modules if m.startswith('collab_asd.encoders')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_client_app_loads_encoders_only_when_asked():
    code = "import sys, simulations.client_app\nprint('collab_asd.encoders' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
