import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from collab_asd.cli.data import data_app


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for place in ("train", "test"):
        (tmp_path / "fan" / place).mkdir(parents=True)
    for machine in ("00", "02"):
        names = [f"train/normal_id_{machine}_{number}" for number in range(3)]
        for name in [*names, f"test/normal_id_{machine}_0", f"test/anomaly_id_{machine}_0"]:
            soundfile.write(tmp_path / f"fan/{name}.wav", generator.uniform(-0.5, 0.5, (12000, 2)), 8000)
    return tmp_path


def run(*arguments, columns=200):
    return CliRunner().invoke(data_app, ["check", *map(str, arguments)], env={"COLUMNS": str(columns)})


def test_good_folder(folder):
    result = run(folder)
    assert result.exit_code == 0
    assert "fan/00" in result.stdout
    assert "fit to train on: 0 errors, 0 warnings, 0 notes" in result.stdout


def test_a_narrow_terminal_breaks_no_figure(folder):
    (folder / "fan").rename(folder / "hydraulic press of the seventh hall")
    clip = folder / "hydraulic press of the seventh hall/test/normal_id_00_9.wav"
    soundfile.write(clip, np.random.default_rng(1).uniform(-0.5, 0.5, 96000), 48000)
    lines = run(folder, columns=80).stdout.splitlines()
    (row,) = (line for line in lines if line.startswith(" hydraulic") and "48000" in line)
    assert row.split()[-9:] == ["3", "2", "1", "9.5", "1.5–2.0", "8000", "48000", "1", "2"]


@pytest.mark.parametrize("options", [("--seconds", "2"), ("--channel", "2")])
def test_bad_folder(folder, options):
    result = run(folder, *options)
    assert result.exit_code == 2
    assert "training would be wrong: 10 errors" in result.stdout


def test_problem_is_printed_with_its_remedy(folder):
    (folder / "fan/train/anomaly_id_00_7.wav").write_bytes(b"")
    result = run(folder)
    assert result.exit_code == 2
    assert "error fan/train/anomaly_id_00_7.wav: the file is empty; copy or download it again" in result.stdout
    assert "error fan/train/anomaly_id_00_7.wav: an anomaly among the training clips; move it" in result.stdout


def test_json_is_the_whole_report(folder):
    (folder / "fan/train/normal_id_00_7.wav").write_bytes(b"")
    result = run(folder, "--json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert report["fit_to_train"] is False
    assert [row["train_normal"] for row in report["machines"]] == [4, 3]
    (problem,) = report["problems"]
    assert problem == {
        "severity": "error",
        "subject": "fan/train/normal_id_00_7.wav",
        "what": "the file is empty",
        "remedy": "copy or download it again",
        "path": str(folder / "fan/train/normal_id_00_7.wav"),
        "detail": "",
    }


def test_folder_that_cannot_be_listed(tmp_path):
    result = run(tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "no such folder" in result.stderr
    assert result.stdout == ""


def test_unknown_grouping(folder):
    result = run(folder, "--group-by", "colour")
    assert result.exit_code == 2
    assert "--group-by 'colour'" in result.stderr


@pytest.mark.parametrize(("name", "clips"), [("dcase2020_samples", 64), ("mimii_8ch_samples", 4)])
def test_real_samples_are_decoded_and_have_nothing_to_train_on(shared, name, clips):
    result = run(shared / "data" / name, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 2
    assert all(row["shortest"] >= 10 for row in report["machines"])
    assert sum(v for row in report["machines"] for k, v in row.items() if k.startswith(("train_", "test_"))) == clips
    errors = {problem["what"].split(":")[0] for problem in report["problems"] if problem["severity"] == "error"}
    assert "nothing to train on" in errors
    assert errors <= {"nothing to train on", "the only machine of its group"}
