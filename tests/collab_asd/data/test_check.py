import numpy as np
import pytest
import soundfile

from collab_asd.core.errors import InputError
from collab_asd.data.check import check, require_good
from collab_asd.data.layouts import find_clips

RATE = 8000
FAN_00 = "fan/train/normal_id_00_00000000.wav"


def report_on(folder, **options):
    clips = find_clips(folder)
    return clips, check(folder, clips, **options)


def problems_of(folder, **options):
    """Severity, subject and what is wrong, each problem."""
    return [(p.severity, p.subject, p.what) for p in report_on(folder, **options)[1].problems]


def test_nothing_is_wrong(dcase_folder):
    clips, report = report_on(dcase_folder)
    assert report.problems == ()
    assert require_good(clips, report, skip_bad=False) == (clips, [])
    assert require_good(clips, report, skip_bad=True) == (clips, [])


def test_machines_are_counted_and_measured(dcase_folder, record):
    record(dcase_folder / "fan/test/id_02_00000007.wav", seconds=2.5, rate=16000, channels=2)
    _, report = report_on(dcase_folder)
    first, second = report.machines
    assert (first.machine_type, first.machine_id, second.machine_id) == ("fan", "00", "02")
    assert (second.train_normal, second.train_anomaly, second.train_unlabelled) == (3, 0, 0)
    assert (second.test_normal, second.test_anomaly, second.test_unlabelled) == (1, 1, 1)
    assert (first.seconds, first.shortest, first.longest) == (7.5, 1.5, 1.5)
    assert (second.seconds, second.shortest, second.longest) == (10.0, 1.5, 2.5)
    assert (first.rates, first.channels) == ((8000,), (1,))
    assert (second.rates, second.channels) == ((8000, 16000), (1, 2))


def noise(samples=RATE * 2):
    return np.random.default_rng(1).uniform(-0.5, 0.5, samples)


def with_sample(value):
    samples = noise()
    samples[100] = value
    return samples


@pytest.mark.parametrize(
    ("samples", "what"),
    [
        (noise(0), "no audio: it has no samples"),
        (with_sample(np.nan), "NaN or infinity among its samples"),
        (with_sample(np.inf), "NaN or infinity among its samples"),
        (np.full(RATE * 2, 0.25), "a constant signal, as from a dead sensor"),
        (np.zeros(RATE * 2), "a constant signal, as from a dead sensor"),
        (noise(RATE - 1), "shorter than one embedding window of 1 s"),
    ],
)
def test_unusable_signal(dcase_folder, samples, what):
    record_path = dcase_folder / "fan/train/normal_id_00_00000009.wav"
    soundfile.write(record_path, samples, RATE, subtype="FLOAT")
    assert problems_of(dcase_folder) == [("error", "fan/train/normal_id_00_00000009.wav", what)]


def test_window_sets_the_shortest_length(dcase_folder):
    assert problems_of(dcase_folder, min_seconds=1.5) == []
    assert len(problems_of(dcase_folder, min_seconds=1.6)) == 10


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda data: data[:-8000], "the file is truncated"),
        (lambda data: data[:44], "the file is truncated"),
        (
            lambda data: b"<html>404</html>",
            "cannot be decoded: it is no WAV, RF64, W64, AIFF, FLAC, Ogg, MP3, CAF or AU file",
        ),
        (lambda data: b"", "the file is empty"),
    ],
)
def test_unreadable_file(dcase_folder, damage, what):
    path = dcase_folder / "fan/test/anomaly_id_02_00000000.wav"
    path.write_bytes(damage(path.read_bytes()))
    assert problems_of(dcase_folder) == [("error", "fan/test/anomaly_id_02_00000000.wav", what)]


def test_channel_that_is_not_there(dcase_folder):
    report = check(dcase_folder, find_clips(dcase_folder, channel=1))
    assert {problem.what for problem in report.problems} == {"channel 1 was asked for, but it has 1 (counted from 0)"}
    assert report.count("error") == 10


def test_same_audio_in_another_format_is_a_copy(dcase_folder):
    samples, rate = soundfile.read(dcase_folder / FAN_00, dtype="int16")
    soundfile.write(dcase_folder / "fan/test/normal_id_00_00000009.flac", samples, rate)
    what = "the same audio as test clip fan/test/normal_id_00_00000009.flac: the test would be no test"
    assert problems_of(dcase_folder) == [("error", FAN_00, what)]


def test_silent_clips_are_not_copies_of_each_other(dcase_folder):
    for number in (8, 9):
        soundfile.write(dcase_folder / f"fan/train/normal_id_00_0000000{number}.wav", np.zeros(RATE * 2), RATE)
    assert {what for _, _, what in problems_of(dcase_folder)} == {"a constant signal, as from a dead sensor"}


@pytest.fixture
def bad_folder(dcase_folder, record):
    """One more training clip that is too short, and one that is an anomaly."""
    record(dcase_folder / "fan/train/normal_id_00_00000009.wav", seconds=0.5)
    record(dcase_folder / "fan/train/anomaly_id_02_00000009.wav")
    return dcase_folder


def test_all_problems_are_found_at_once(bad_folder, record):
    record(bad_folder / "pump/test/normal_id_00_00000000.wav")
    assert [(severity, subject) for severity, subject, _ in problems_of(bad_folder)] == [
        ("error", "fan/train/normal_id_00_00000009.wav"),
        ("error", "fan/train/anomaly_id_02_00000009.wav"),
        ("error", "pump/00"),
        ("note", "pump/00"),
        ("error", "pump/00"),
    ]


def test_bad_files_are_refused_with_the_same_words(bad_folder):
    clips, report = report_on(bad_folder)
    with pytest.raises(InputError, match="--skip-bad") as error:
        require_good(clips, report, skip_bad=False)
    assert all(
        f"{problem.subject}: {problem.what}; {problem.remedy}" in str(error.value) for problem in report.problems
    )


def test_bad_files_are_left_out_and_listed(bad_folder):
    clips, report = report_on(bad_folder)
    kept, left_out = require_good(clips, report, skip_bad=True)
    bad = {bad_folder / "fan/train/normal_id_00_00000009.wav", bad_folder / "fan/train/anomaly_id_02_00000009.wav"}
    assert {clip.path for clip in clips} - {clip.path for clip in kept} == bad
    assert len(left_out) == 2
    assert left_out[0].startswith("fan/train/normal_id_00_00000009.wav: shorter than one embedding window of 1 s; ")


def test_machine_that_has_too_little_left_is_refused(dcase_folder, record):
    record(dcase_folder / FAN_00, seconds=0.5)
    clips, report = report_on(dcase_folder)
    with pytest.raises(InputError, match=r"fan/00: nothing to train on: too few normal training clips \(2\)"):
        require_good(clips, report, skip_bad=True)


def test_what_no_file_is_to_blame_for_cannot_be_skipped(dcase_folder, record):
    record(dcase_folder / "pump/test/normal_id_00_00000000.wav")
    clips, report = report_on(dcase_folder)
    with pytest.raises(InputError, match="pump/00: nothing to train on"):
        require_good(clips, report, skip_bad=True)


def test_nothing_left(dcase_folder):
    clips, report = report_on(dcase_folder, min_seconds=9.0)
    with pytest.raises(InputError, match="no clip is left"):
        require_good(clips, report, skip_bad=True)


def test_method_that_does_not_share_needs_no_second_machine(dcase_folder):
    clips = [clip for clip in find_clips(dcase_folder) if clip.machine_id == "00"]
    assert check(dcase_folder, clips, shares=False).problems == ()
    assert check(dcase_folder, clips, shares=True).count("error") == 1


def test_progress_is_told_after_each_clip(dcase_folder, on_advance):
    steps = []
    clips = find_clips(dcase_folder)
    on_advance(lambda what, amount: steps.append(what))
    check(dcase_folder, clips)
    assert steps == ["decoding recordings"] * 10
