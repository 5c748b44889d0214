import json
import shutil

import pytest
from typer.testing import CliRunner

from collab_asd.audit.model_extraction import worth
from collab_asd.audit.run import AuditedRun
from collab_asd.cli.main import app
from collab_asd.config import RunConfig
from collab_asd.federation.engines import run_inprocess
from collab_asd.methods.embedding_sharing.state import KEPT, ServerState

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(sounds, cache, tmp_path_factory):
    """A recorded run that sends log-mel frames as they are; a half of its clips is kept from f_s."""
    out = tmp_path_factory.mktemp("results") / "run"
    settings = {"encoder": "logmel", "codec": "fp32", "calibration": 0.5, "epochs": 1, "report": False}
    where = {"data_dir": str(sounds[0]), "cache_dir": str(cache), "results_dir": str(out)}
    return run_inprocess(RunConfig(**settings, **where, share_covariances=False, record_view=True), 3)


def call(*arguments):
    return CliRunner().invoke(app, ["audit", *map(str, arguments), "--quick"])


@pytest.fixture(scope="module")
def audited(finished, sounds):
    result = call(finished, "--data", sounds[1], "--json", "-q")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def pick(audited, measure):
    return {f["knowledge"]: f for f in audited["findings"] if f["measure"] == measure}


def test_with_f_c_known_and_no_defence_recordings_are_got_back(audited):
    distance = pick(audited, "distance, dB")
    assert distance["knows f_c"]["high"] < 0.3 * distance["knows f_c"]["chance"]
    assert pick(audited, "re-identified")["knows f_c"]["value"] == 1.0
    factory = pick(audited, "accuracy, factory of 4")
    assert factory["knows f_c"]["value"] > 0.5 > factory["knows f_c"]["chance"] == 0.25


def test_the_control_is_at_chance(audited):
    name = "shuffled (control)"
    distance = pick(audited, "distance, dB")[name]
    assert distance["high"] > 0.95 * distance["chance"]
    assert pick(audited, "re-identified")[name]["low"] < pick(audited, "re-identified")[name]["chance"]


def test_exact_embeddings_give_members_away(audited):
    assert pick(audited, "AUC")["knows f_c, looks it up"]["value"] == 1.0


def test_the_parties_hold_what_algorithm_1_and_a_public_encoder_give_them(audited):
    held = {party["name"]: (party["f_c"], party["f_s"], party["embeddings"]) for party in audited["parties"]}
    assert held["a client"] == (True, True, False)
    assert held["the server"] == (True, True, True)


def test_whoever_steals_all_detects_as_well_as_the_client(finished, sounds):
    run = AuditedRun.open(finished)
    both, f_s, nothing = worth(run, ServerState.load(finished / KEPT).classifiers, run.encoder, run.codec)
    own = json.loads((finished / "summary.json").read_text())["auc"]["total"]
    assert both.value == pytest.approx(own, abs=1e-12)
    assert f_s.value == both.value  # this thief's own f_c is the right one
    assert (nothing.knowledge, nothing.clips) == ("nothing", 3 * 4)


def test_what_could_not_be_measured_is_said(audited):
    assert any("logmel is public" in line for line in audited["missing"])
    assert any(line.startswith("100 clips leaked: the leaking client has 12") for line in audited["missing"])


def test_the_picture_and_the_json_lie_beside_the_result(audited, finished):
    assert json.loads((finished / "audit" / "audit.json").read_text()) == audited
    assert (finished / "audit" / "reconstructed.png").stat().st_size > 10_000


def test_a_run_without_a_view_says_what_to_do(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("view"))
    result = call(tmp_path / "run")
    assert result.exit_code == 2
    assert "no recorded view; repeat the run with --set record-view=true" in result.stderr


def test_a_damaged_view_is_named(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    file = next((tmp_path / "run" / "view" / "client-1").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-3])
    result = call(tmp_path / "run")
    assert result.exit_code == 2
    assert file.stem in result.stderr.replace("\n", "")


def test_an_adversary_has_no_recordings_of_a_victim(finished, sounds):
    result = call(finished, "--data", sounds[0])
    assert result.exit_code == 2
    assert "0 recordings that no client of the run has" in result.stderr


def test_other_recordings_than_those_of_the_run_are_refused(finished, sounds):
    result = call(finished, "--victims", sounds[1])
    assert result.exit_code == 2
    assert "other recordings than in the run" in result.stderr
