"""``collab-asd score``: what stands on stdout, what on stderr, and the exit code."""

import csv
import io
import json
import os
import re
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from collab_asd.cli import score as command
from collab_asd.cli.main import app
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.federation.engines import run_inprocess
from collab_asd.monitoring import explain as portrait
from collab_asd.monitoring import watch as watching
from collab_asd.monitoring.monitor import Monitor

COLUMNS = ["clip", "anomaly_score", "threshold", "decision", "nearest_normal", "hint", "p_value"]
LINE = re.compile(
    r"(ANOMALY|normal ) {2}score +(\S+) {2}threshold (\S+) {2}(\S+) {2}\(nearest normal: (\S+)\) {2}p = \S+"
)


pytestmark = pytest.mark.usefixtures("fresh_process")


def call(*arguments):
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


@pytest.fixture(scope="module")
def runs(machines, cache, tmp_path_factory):
    """Two finished runs: one whose f_s has not seen some clips, and one with the default encoder."""

    def run(**settings):
        folder = tmp_path_factory.mktemp("run")
        places = {"data_dir": str(machines), "cache_dir": str(cache), "results_dir": str(folder)}
        return run_inprocess(RunConfig(**places, epochs=1, seed=4, report=False, **settings), 3)

    return {"logmel": run(encoder="logmel", calibration=0.9), "random-conv": run(scorer="gmm", pooling="max")}


@pytest.fixture(scope="module")
def run(runs):
    return runs["logmel"]


@pytest.fixture
def detector(run):
    return run / "detectors" / "fan_id_01"


@pytest.fixture
def clips(machines):
    """Test clips of the detector's machine: six normal ones, six that whistle."""
    paths = sorted((machines / "fan" / "test").glob("*_id_01_*"))
    return sorted(paths, key=lambda path: "anomaly" in path.name)


@pytest.fixture
def folder(clips, tmp_path):
    """A folder with one normal clip and one that whistles."""
    (tmp_path / "new").mkdir()
    for name, clip in (("hum.wav", clips[0]), ("whistle.wav", clips[-1])):
        shutil.copy(clip, tmp_path / "new" / name)
    return tmp_path / "new"


def verdicts(result):
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.mark.parametrize("encoder", ["logmel", "random-conv"])
@pytest.mark.parametrize("machine_id", ["00", "02"])
def test_scores_are_those_of_the_run_to_the_last_bit(runs, machines, encoder, machine_id):
    with (runs[encoder] / "scores.csv").open(newline="") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file) if row["machine_id"] == machine_id}
    result = call(
        runs[encoder] / "detectors" / f"fan_id_{machine_id}", *(machines / c for c in rows), "--format", "csv"
    )
    assert result.exit_code == 0, result.stderr
    assert len(rows) == 12
    for verdict, (clip, row) in zip(verdicts(result), rows.items(), strict=True):
        assert verdict["clip"] == str(machines / clip)
        for column in ("anomaly_score", "threshold"):
            assert float(verdict[column]) == float(row[column])
        assert verdict["decision"] == row["decision"]


def test_the_nearest_normal_of_a_training_clip_is_itself(detector, machines):
    train = sorted((machines / "fan" / "train").glob("*_id_01_*"))
    result = call(detector, *train, "--format", "csv")
    assert [row["nearest_normal"] for row in verdicts(result)] == [f"fan/train/{path.name}" for path in train]


def test_a_line_of_text_for_each_clip_of_files_and_folders(detector, clips, folder):
    result = call(detector, clips[1], folder)
    assert result.exit_code == 0
    lines = [LINE.fullmatch(line).groups() for line in result.stdout.splitlines()]
    assert [line[3] for line in lines] == [str(clips[1]), str(folder / "hum.wav"), str(folder / "whistle.wav")]
    for word, score, threshold, _, normal in lines:
        assert (word == "ANOMALY") == (float(score) > float(threshold))
        assert normal.startswith("fan/train/normal_id_01_")
    assert lines[2][0] == "ANOMALY"
    assert result.stderr.startswith("fan/01: 1 alarm in 3 recordings, 0 refused")


def test_a_threshold_from_few_normal_recordings_comes_with_a_caution(detector, folder):
    assert "from 12 normal recordings: too few" in call(detector, folder).stderr
    assert "too few" not in call(detector, folder, "--false-alarm-rate", "0.4").stderr


def test_csv_has_a_header_and_a_row_for_each_clip(detector, folder):
    result = call(detector, folder, "--format", "csv")
    assert result.stdout.splitlines()[0].split(",") == COLUMNS
    assert len(verdicts(result)) == 2


@pytest.mark.parametrize("how", [["--json"], ["--format", "json"]])
def test_json_is_one_object_per_line(detector, folder, how):
    hum, whistle = (json.loads(line) for line in call(detector, folder, *how).stdout.splitlines())
    assert sorted(hum) == sorted(COLUMNS)
    assert (hum["clip"], whistle["clip"]) == (str(folder / "hum.wav"), str(folder / "whistle.wav"))
    assert whistle["decision"] == int(whistle["anomaly_score"] > whistle["threshold"]) == 1
    assert hum["anomaly_score"] < whistle["anomaly_score"]


def test_all_formats_say_the_same(detector, folder):
    text = [LINE.fullmatch(line).groups() for line in call(detector, folder).stdout.splitlines()]
    table = verdicts(call(detector, folder, "--format", "csv"))
    objects = [json.loads(line) for line in call(detector, folder, "--json").stdout.splitlines()]
    assert [{k: str(v) for k, v in o.items()} for o in objects] == table
    assert [float(line[1]) for line in text] == [round(o["anomaly_score"], 3) for o in objects]


def test_a_rate_moves_the_threshold_and_nothing_else(detector, folder):
    few, many = (
        [json.loads(line) for line in call(detector, folder, "--json", "--false-alarm-rate", r).stdout.splitlines()]
        for r in (0.01, 0.4)
    )
    assert all(a["threshold"] > b["threshold"] for a, b in zip(few, many, strict=True))
    assert [o["anomaly_score"] for o in few] == [o["anomaly_score"] for o in many]


@pytest.mark.parametrize("rate", ["0", "1", "-0.5", "nan"])
def test_a_rate_out_of_range_is_bad_input(detector, folder, rate):
    result = call(detector, folder, f"--false-alarm-rate={rate}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "must lie between 0 and 1" in result.stderr


def test_what_does_not_fit_is_refused_and_the_others_go_on(detector, folder):
    sound, rate = soundfile.read(folder / "hum.wav")
    soundfile.write(folder / "a_short.wav", sound[: rate // 2], rate)
    soundfile.write(folder / "b_silent.wav", 0 * sound, rate)
    soundfile.write(folder / "c_nan.wav", np.append(sound, np.nan), rate, subtype="FLOAT")
    (folder / "d_empty.wav").touch()
    (folder / "e_truncated.wav").write_bytes((folder / "hum.wav").read_bytes()[:-999])
    (folder / "f_text.wav").write_text("not a sound")
    result = call(detector, folder, "--json")
    assert result.exit_code == 2
    assert [json.loads(line)["clip"] for line in result.stdout.splitlines()] == [
        str(folder / "hum.wav"),
        str(folder / "whistle.wav"),
    ]
    *refused, count = result.stderr.splitlines()
    assert "2 recordings, 6 refused" in count
    words = ["shorter than", "constant signal", "NaN", "empty", "truncated", "cannot be decoded"]
    names = ["a_short", "b_silent", "c_nan", "d_empty", "e_truncated", "f_text"]
    assert len(refused) == 6
    for line, name, word in zip(refused, names, words, strict=True):
        assert line.startswith(f"refused: {folder / name}.wav: ")
        assert word in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.wav"], "nowhere.wav: no such file or folder"),
        (["empty"], "empty: no recordings in it"),
        (["new", "--weights", __file__], "encoder 'logmel' takes none"),
        (["new", "--key-file", __file__], "encoder 'logmel' takes none"),
        (["new", "empty", "--watch"], "--watch takes one folder"),
        (["nowhere", "--watch"], "nowhere: no such folder to watch"),
        (["new", "--format", "xml"], "xml"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(detector, folder, arguments, words, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "empty").mkdir()
    result = call(detector, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_without_a_detector_is_named(run, folder):
    for where in (run / "nowhere", folder, folder / "hum.wav"):
        result = call(where, folder)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{where}: no detector there" in result.stderr


@pytest.mark.parametrize("inside", ["", "detectors"])
def test_of_a_runs_detectors_the_name_of_a_recording_chooses(run, machines, inside):
    paths = sorted((machines / "fan" / "test").glob("normal_*_00000000.wav"))
    together = verdicts(call(run / inside, *paths, "--format", "csv"))
    apart = [
        verdicts(call(run / "detectors" / f"fan_id_{i:02d}", path, "--format", "csv"))[0]
        for i, path in enumerate(paths)
    ]
    assert together == apart


def test_a_name_that_tells_no_machine_is_refused_before_anything_is_scored(run, folder, machines):
    told = next((machines / "fan" / "test").glob("normal_*"))
    result = call(run, told, folder)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{folder / 'hum.wav'}, {folder / 'whistle.wav'}: the name does not tell" in result.stderr
    assert f"collab-asd score {run / 'detectors' / 'fan_id_00'} {folder / 'hum.wav'}" in result.stderr


def test_a_watch_goes_on_after_a_name_that_tells_no_machine(run, folder, clips, interrupted):
    shutil.copy(clips[-1], folder)
    result = call(run, folder, "--watch", "--json")
    assert result.exit_code == 2
    assert [json.loads(line)["clip"] for line in result.stdout.splitlines()] == [str(folder / clips[-1].name)]
    assert result.stderr.count("refused: ") == 2


def test_a_damaged_detector_is_named(detector, folder, tmp_path):
    broken = shutil.copytree(detector, tmp_path / "broken")
    arrays = bytearray((broken / "detector.safetensors").read_bytes())
    arrays[len(arrays) // 2] ^= 4
    (broken / "detector.safetensors").write_bytes(arrays)
    result = call(broken, folder)
    assert result.exit_code == 2
    assert f"{broken / 'detector.safetensors'}: damaged" in result.stderr


def test_clips_of_other_machines_are_warned_of(detector, machines):
    others = [path for path in (machines / "fan" / "test").glob("normal*") if "_id_01_" not in path.name]
    result = call(detector, *others, *others)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 24
    count, *_, drift = result.stderr.splitlines()
    assert count.startswith("fan/01: 24 alarms in 24 recordings")
    assert drift.startswith("drift: these recordings no longer look like the training normals (24 clips")
    quiet = call(detector, *others, *others, "-q")
    assert (quiet.stdout, quiet.stderr) == (result.stdout, "")


@pytest.fixture
def wrong(machines):
    """Normal test clips of another machine than the detector's."""
    return sorted((machines / "fan" / "test").glob("normal_id_02_*"))


def test_clips_of_another_machine_are_named_after_five(detector, wrong):
    result = call(detector, *wrong, "--json")
    assert [json.loads(line)["hint"] for line in result.stdout.splitlines()] == [""] * 4 + ["another machine"] * 2
    (note,) = [line for line in result.stderr.splitlines() if "seem to come from another machine" in line]
    assert "fan/02" in note
    assert "another machine" not in call(detector, *wrong[:4]).output
    assert call(detector, *wrong, "-q").stderr == ""


def test_in_a_watched_folder_it_is_said_at_once_and_once(detector, wrong, tmp_path, interrupted):
    for path in wrong:
        shutil.copy(path, tmp_path / path.name)
    before, _, after = call(detector, tmp_path, "--watch").stderr.partition("stopped")
    assert len(re.findall(rf"{STAMP}  these recordings seem to come from another machine", before)) == 1
    assert "seem to come from another machine" in after


def test_faults_of_the_machine_are_not_taken_for_another(detector, clips):
    result = call(detector, *clips[6:], "--json")
    assert [json.loads(line)["decision"] for line in result.stdout.splitlines()] == [1] * 6
    assert {json.loads(line)["hint"] for line in result.stdout.splitlines()} == {""}
    assert "seem to come from" not in result.stderr


def test_another_gain_is_taken_for_another_recorder(detector, clips, tmp_path):
    for path in clips[:6]:
        sound, rate = soundfile.read(path)
        soundfile.write(tmp_path / path.name, 0.3 * sound, rate)
    result = call(detector, tmp_path, "--format", "csv")
    assert [row["hint"] for row in verdicts(result)] == [""] * 4 + ["another recorder or machine"] * 2
    assert "seem to come from another recorder or machine" in result.stderr


def test_training_clips_look_too_normal(detector, machines):
    train = sorted((machines / "fan" / "train").glob("*_id_01_*"))
    result = call(detector, *train, *train)
    assert "drift: these recordings look more normal than new recordings should" in result.stderr


def test_few_clips_say_nothing_of_drift(detector, clips):
    assert "drift" not in call(detector, *clips).stderr


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_errors_are_shown_in_quiet_as_well(detector, folder, quiet):
    (folder / "empty.wav").touch()
    result = call(detector, folder, *quiet)
    assert result.exit_code == 2
    assert "empty.wav: the file is empty" in result.stderr


@pytest.fixture
def interrupted(monkeypatch):
    """Watch a folder until somebody presses Ctrl-C, which is as soon as all that is there is scored."""

    def watch(folder):
        yield from watching.recordings([folder])
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "watch", watch)


STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"


def test_a_watched_folder_is_scored_until_ctrl_c(detector, folder, interrupted):
    (folder / "empty.wav").touch()
    result = call(detector, folder, "--watch")
    lines = [re.fullmatch(rf"{STAMP}  (.*)", line)[1] for line in result.stdout.splitlines()]
    assert [LINE.fullmatch(line)[4] for line in lines] == [str(folder / "hum.wav"), str(folder / "whistle.wav")]
    refused, stopped, count, *_ = result.stderr.splitlines()
    assert re.match(rf"{STAMP}  refused: ", refused)
    assert re.fullmatch(rf"{STAMP}  stopped", stopped)
    assert count.startswith("fan/01: 1 alarm in 2 recordings")


@pytest.mark.parametrize("output", ["json", "csv"])
def test_rows_of_a_watched_folder_tell_the_time(detector, folder, interrupted, output):
    result = call(detector, folder, "--watch", "--format", output)
    assert result.exit_code == 0
    rows = verdicts(result) if output == "csv" else [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["clip"] for row in rows] == [str(folder / "hum.wav"), str(folder / "whistle.wav")]
    assert all(list(row) == ["time", *COLUMNS] and re.fullmatch(STAMP, row["time"]) for row in rows)


def test_drift_is_said_when_the_watch_is_stopped(detector, folder, interrupted):
    for i in range(20):
        shutil.copy(folder / "whistle.wav", folder / f"{i:02d}.wav")
    assert "drift: these recordings no longer look" in call(detector, folder, "--watch").stderr


def test_a_clip_refused_while_watching_shows_in_the_exit_code(detector, folder, interrupted):
    (folder / "empty.wav").touch()
    result = call(detector, folder, "--watch")
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "number", "code"),
    [
        (["--watch"], signal.SIGINT, 0),  # its end, as documented
        (["--watch"], signal.SIGTERM, 143),
        ([], signal.SIGINT, 130),
        ([], signal.SIGTERM, 143),
    ],
)
def test_signals_end_it_as_they_end_any_command(detector, folder, monkeypatch, options, number, code):
    """What was scored until then is shown and counted; only a watch has done its work then."""

    def until_the_signal(_):
        yield folder / "whistle.wav"
        os.kill(os.getpid(), number)
        yield folder / "hum.wav"

    monkeypatch.setattr(watching, "watch" if options else "recordings", until_the_signal)
    monkeypatch.setattr(command, "choose_all", lambda *_: None)
    result = call(detector, folder, *options)
    assert result.exit_code == code
    assert "whistle.wav" in result.stdout
    assert "hum.wav" not in result.stdout
    assert "1 alarm in 1 recordings" in result.stderr


def test_quiet_means_no_notes(detector, folder, interrupted):
    assert call(detector, folder, "--watch", "-q").stderr == ""


def test_alarms_are_explained_by_pictures_at_the_paths_of_their_clips(detector, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "old")
    result = call(detector, "new", tmp_path / "old", "--explain", "pictures")
    assert result.exit_code == 0, result.output
    alarms = {match[4] for match in map(LINE.match, result.stdout.splitlines()) if match[1] == "ANOMALY"}
    assert {"new/whistle.wav", str(tmp_path / "old/whistle.wav")} <= alarms
    drawn = {path.relative_to(tmp_path / "pictures").as_posix() for path in (tmp_path / "pictures").rglob("*.png")}
    assert drawn == {f"{alarm.removeprefix(f'{tmp_path}/')}.png" for alarm in alarms}
    assert "explained: pictures/new/whistle.wav.png" in result.stderr
    assert (tmp_path / "pictures/new/whistle.wav.png").read_bytes().startswith(b"\x89PNG")


def test_without_an_alarm_it_is_said_that_nothing_is_explained(detector, folder, tmp_path):
    result = call(detector, folder / "hum.wav", "--explain", tmp_path / "pictures")
    assert result.exit_code == 0, result.output
    assert "--explain: no recording raised an alarm" in result.stderr
    assert not list(tmp_path.rglob("*.png"))


def test_pictures_cannot_be_written_into_a_file(detector, folder, tmp_path):
    (tmp_path / "file").touch()
    result = call(detector, folder, "--explain", tmp_path / "file")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{tmp_path / 'file'}: is a file, not a folder; name another folder with --explain" in result.stderr


def test_training_recordings_that_moved_are_found_where_one_says(detector, folder, machines, tmp_path, monkeypatch):
    moved = shutil.copytree(machines, tmp_path / "moved")
    whole = Monitor.open

    def elsewhere(*arguments):
        monitor = whole(*arguments)
        return replace(monitor, card=replace(monitor.card, data_dir="/nowhere"))

    monkeypatch.setattr(Monitor, "open", elsewhere)
    lost = call(detector, folder, "--explain", tmp_path / "pictures")
    assert lost.exit_code == 2
    assert "/nowhere: the training recordings are not there; say where with --normals" in lost.stderr
    found = call(detector, folder, "--explain", tmp_path / "pictures", "--normals", moved)
    assert found.exit_code == 0
    assert len(list((tmp_path / "pictures").rglob("whistle.wav.png"))) == 1


def test_an_alarm_that_cannot_be_explained_does_not_end_the_watch(detector, clips, tmp_path, monkeypatch):
    def draw(*_):
        raise InputError("/nowhere: the training recordings are not there; say where with --normals")

    monkeypatch.setattr(portrait, "draw", draw)
    result = call(detector, *clips[6:], "--explain", tmp_path / "pictures")
    assert len(result.stdout.splitlines()) == 6
    assert "say where with --normals" in result.stderr
