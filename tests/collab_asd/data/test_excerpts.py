"""Long recordings that are cut into clips without copying: what the clips are, and that those of one stay together."""

import hashlib
import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.core.types import Clip
from collab_asd.data.audio import ClipError, load_audio, read_audio, seconds_of, sha256_of
from collab_asd.data.excerpts import by_recording, excerpts, recording_of
from collab_asd.data.layouts import clip_name, find_clips
from collab_asd.data.partitions import by_machine, iid
from collab_asd.detection.scorers import ClipScorer, ScorerSettings
from collab_asd.federation.client_data import local_machines

RATE = 8000


@pytest.fixture
def logger(tmp_path, record):
    """A pump with two long training recordings, a short one and a long test recording."""
    for name, seconds in (("normal/a", 34.0), ("normal/b", 20.0), ("normal/c", 2.0), ("test/d", 12.5)):
        record(tmp_path / f"data/pump1/{name}.wav", seconds)
    return tmp_path / "data"


def test_clips_have_names_with_seconds_and_nothing_is_left_over(logger):
    names = sorted(clip_name(clip, logger) for clip in find_clips(logger, clip_seconds=5.0))
    assert names == sorted(
        [
            *(f"pump1/normal/a.wav#t={s}-{s + 5}" for s in range(0, 30, 5)),
            "pump1/normal/a.wav#t=30-34",
            *(f"pump1/normal/b.wav#t={s}-{s + 5}" for s in range(0, 20, 5)),
            "pump1/normal/c.wav",
            "pump1/test/d.wav#t=0-5",
            "pump1/test/d.wav#t=10-12.5",
            "pump1/test/d.wav#t=5-10",
        ]
    )
    assert len(list(logger.rglob("*.wav*"))) == 4


def test_each_clip_is_that_part_of_its_recording(logger):
    for clip in find_clips(logger, clip_seconds=5.0):
        whole, _ = soundfile.read(recording_of(clip.path), dtype="float32")
        audio = load_audio(clip)
        if clip.path == recording_of(clip.path):
            np.testing.assert_array_equal(audio.waveform, whole)
            continue
        start, end = (float(number) for number in clip.path.name.split("#t=")[1].split("-"))
        np.testing.assert_array_equal(audio.waveform, whole[round(start * RATE) : round(end * RATE)])
        np.testing.assert_array_equal(read_audio(clip.path, 0).waveform, audio.waveform)
        assert seconds_of(clip.path) == end - start
        assert sha256_of(clip.path) == clip.sha256


def test_hashes_differ_within_a_recording_and_follow_its_content(logger):
    before = {clip.path: clip.sha256 for clip in find_clips(logger, clip_seconds=5.0)}
    assert len(set(before.values())) == len(before)
    shutil.copy(logger / "pump1/normal/b.wav", logger / "pump1/test/d.wav")
    after = {clip.path: clip.sha256 for clip in find_clips(logger, clip_seconds=5.0)}
    assert all(after[path] == sha256 for path, sha256 in before.items() if "d.wav" not in path.name)
    assert after[logger / "pump1/test/d.wav#t=0-5"] != before[logger / "pump1/test/d.wav#t=0-5"]


def test_recording_that_changed_or_shrank_is_refused(logger, record):
    clip = next(c for c in find_clips(logger, clip_seconds=5.0) if c.path.name == "a.wav#t=30-34")
    record(logger / "pump1/normal/a.wav", 10.0)
    with pytest.raises(ClipError, match="the clip changed"):
        load_audio(clip)
    with pytest.raises(ClipError, match=r"the recording ends at 10\.000 s"):
        read_audio(clip.path, 0)


@given(st.floats(0.01, 5000.0), st.floats(0.1, 700.0))
def test_clips_cover_the_recording_without_gap_and_none_is_much_longer_or_shorter(tmp_path_factory, seconds, each):
    parts = excerpts(tmp_path_factory.getbasetemp() / "a.wav", seconds, each)
    if not parts:
        assert seconds < 1.5 * each + 0.001
        return
    assert parts[0].start == 0
    assert all(one.end == other.start for one, other in pairwise(parts))
    assert seconds - 0.0011 <= parts[-1].end <= seconds
    assert all(0.5 * each - 0.003 <= part.end - part.start <= 1.5 * each + 0.003 for part in parts)


def test_a_table_may_list_parts_of_recordings(logger):
    table = logger / "table.csv"
    table.write_text(
        "path,machine_type,machine_id,split,label\n"
        "pump1/normal/a.wav#t=0-5,pump,1,train,0\npump1/normal/a.wav#t=5-10.5,pump,1,test,1\n"
    )
    assert [seconds_of(clip.path) for clip in find_clips(table)] == [5.0, 5.5]
    assert find_clips(table, clip_seconds=1.0) == find_clips(table)
    assert {clip.sha256 for clip in find_clips(table)} & {
        clip.sha256 for clip in find_clips(logger / "pump1", 0, "", 5.0)
    }


def clips_of(tmp_path, counts, split="train"):
    """So many clips of each recording, with hashes in no order of time."""
    found = []
    for number, count in enumerate(counts):
        for part in excerpts(tmp_path / f"{number}.wav", 10.0 * count, 10.0) or [None]:
            path = part.path if part else tmp_path / f"{number}.wav"
            found.append(Clip(path, "pump", "1", split, 0, hashlib.sha256(path.name.encode()).hexdigest()))
    return found


@pytest.mark.parametrize(("counts", "held"), [((30, 10, 10, 30), 20), ((60, 20), 20), ((80,), 0), ((1,) * 80, 16)])
def test_calibration_takes_whole_recordings(tmp_path, counts, held):
    (partition,) = by_machine(clips_of(tmp_path, counts), "all")
    (machine,) = local_machines(partition, 0.2)
    train, calibration = (
        {recording_of(partition.clips[i].path) for i in part} for part in (machine.train, machine.calibration)
    )
    assert not train & calibration
    assert len(machine.train) + len(machine.calibration) == sum(counts)
    assert len(machine.calibration) >= held
    assert bool(machine.calibration) == bool(held)


def test_clients_get_whole_recordings(tmp_path):
    partitions = iid(clips_of(tmp_path, (20,) * 6), "all", 3, seed=0)
    held = [{recording_of(clip.path) for clip in partition.clips} for partition in partitions]
    assert sorted(map(len, held)) == [2, 2, 2]
    assert len(set.union(*held)) == 6


def test_scores_of_held_out_clips_come_from_other_recordings(tmp_path):
    """Clips of one recording are the same point: a model that has seen the recording would find distance 0."""
    owners = by_recording(clip.path for clip in clips_of(tmp_path, (5, 5, 5)))
    points = [np.full((1, 2), owner, np.float32) for owner in owners]
    scorer = ClipScorer(ScorerSettings("knn"))
    assert (scorer.held_out_scores(points) == 0).all()
    assert (scorer.held_out_scores(points, owners) >= 1).all()


def test_of_a_single_recording_ten_stretches_take_turns(tmp_path):
    paths = [part.path for part in excerpts(tmp_path / "a.wav", 400.0, 10.0)]
    assert by_recording(paths) == tuple(number // 4 for number in range(40))
    assert by_recording([tmp_path / "a.wav", tmp_path / "b.wav"]) == ()


@pytest.fixture(scope="module")
def long_recordings(tmp_path_factory):
    """Two pumps, each with two training recordings of half a minute and one of each kind to test."""
    folder, rng = tmp_path_factory.mktemp("long"), np.random.default_rng(3)
    for machine, pitch in ((1, 210), (2, 340)):
        for name, seconds, faulty in (
            *((f"normal/{day}.wav", 30, False) for day in ("monday", "tuesday")),
            *(("test/normal/friday.wav", 12, False), ("test/anomaly/saturday.wav", 12, True)),
        ):
            time = np.arange(seconds * RATE) / RATE
            sound = 0.1 * np.sin(2 * np.pi * pitch * time) + 0.02 * rng.normal(size=len(time))
            sound += 0.1 * np.sin(2 * np.pi * 2500 * time) * faulty
            path = folder / f"data/pump{machine}/{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, RATE, subtype="PCM_16")
    return folder / "data"


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_process")
def test_check_run_score_and_explain(long_recordings, cache, tmp_path):
    def call(*arguments):
        return CliRunner().invoke(app, list(map(str, arguments)))

    check = call("data", "check", long_recordings, "--clip-seconds", 2, "--json")
    assert json.loads(check.stdout)["machines"][0]["train_normal"] == 30, check.output
    out = tmp_path / "out"
    settings = ("--clip-seconds", 2, "--set", f"cache-dir={cache}", "--set", "epochs=1")
    run = call("run", "--data", long_recordings, "--encoder", "logmel", "--out", out, *settings)
    assert run.exit_code == 0, run.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["auc"]["total"] > 0.9
    scores = (out / "scores.csv").read_text()
    assert "pump1/test/anomaly/saturday.wav#t=10-12," in scores
    assert "saturday.wav#t=10-12," in (out / "dcase/anomaly_score_pump_id_1.csv").read_text()
    report = (out / "report.html").read_text()
    assert "No clips are shown" not in report
    assert "saturday.wav#t=" in report
    saturday = long_recordings / "pump1/test/anomaly/saturday.wav"
    pictures = tmp_path / "pictures"
    scored = call("score", out, saturday, "--json", "--explain", pictures)
    assert scored.exit_code == 0, scored.output
    verdicts = [json.loads(line) for line in scored.stdout.splitlines()]
    assert [v["clip"].rsplit("#t=")[1] for v in verdicts] == ["0-2", "2-4", "4-6", "6-8", "8-10", "10-12"]
    assert all("#t=" in v["nearest_normal"] for v in verdicts)
    alarms = sum(v["decision"] for v in verdicts)
    assert alarms
    assert len(list(pictures.rglob("*saturday.wav#t=*.png"))) == alarms
    expected = {line.split(",")[7]: float(line.split(",")[9]) for line in scores.splitlines()[1:]}
    for verdict in verdicts:
        assert verdict["anomaly_score"] == pytest.approx(
            expected["pump1/test/anomaly/" + verdict["clip"].rsplit("/")[-1]]
        )
    skipped = call("run", "--data", long_recordings, "--method", "local-knn", "--encoder", "logmel", "--skip-bad",
                   "--out", tmp_path / "skip", *settings[:4])  # fmt: skip
    assert skipped.exit_code == 0, skipped.output
    assert "saturday.wav#t=10-12," in (tmp_path / "skip/scores.csv").read_text()
