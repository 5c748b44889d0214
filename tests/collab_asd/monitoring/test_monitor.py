"""A saved detector at work: what it says of recordings, and which it refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from collab_asd.core.errors import InputError
from collab_asd.data.audio import ClipError
from collab_asd.detection import storage
from collab_asd.detection.thresholds import p_values, threshold
from collab_asd.encoders import remove_offset
from collab_asd.encoders.logmel import LogMel
from collab_asd.encoders.random_conv import RandomConv, demo_key
from collab_asd.monitoring.monitor import Monitor, Verdict

SECRET = b"a secret key that only clients know"
ENCODERS = {"logmel": LogMel, "random-conv": lambda: RandomConv(demo_key(3))}


@pytest.fixture
def monitor(detectors):
    return Monitor.open(detectors["logmel"])


@pytest.fixture
def folder(detectors, tmp_path):
    """A copy of a detector that may be changed."""

    def copy(name):
        return shutil.copytree(detectors[name], tmp_path / "detector")

    return copy


@pytest.mark.parametrize("name", ENCODERS)
def test_a_verdict_is_what_the_detector_says_of_the_encoders_frames(detectors, make_sound, write_sound, tmp_path, name):
    path = write_sound(tmp_path / "new.wav", make_sound(90, whistle=0.05))
    verdict = Monitor.open(detectors[name]).judge(path)
    detector, card = storage.load(detectors[name])
    clip = detector.embed(ENCODERS[name]()(soundfile.read(path, dtype="float32")[0]))
    (p,) = p_values(detector.normal_scores, np.array([detector.score(clip)]), card.thresholding)
    assert verdict == Verdict(path, detector.score(clip), 1.0, card.normals[detector.nearest(clip)], p)


def test_a_detector_hears_the_offset_only_if_it_is_older_than_its_removal(
    detectors, save_detector, make_sound, write_sound, tmp_path
):
    new = save_detector(tmp_path / "new", remove_offset(LogMel()))
    sound = make_sound(90)
    plain, offset = (write_sound(tmp_path / f"{dc}.wav", sound + dc) for dc in (0.0, 0.05))
    scores = {
        folder: [Monitor.open(folder).judge(path).anomaly_score for path in (plain, offset)]
        for folder in (detectors["logmel"], new)
    }
    assert scores[new][1] == pytest.approx(scores[new][0], rel=1e-2)
    assert scores[detectors["logmel"]][1] > 2 * scores[detectors["logmel"]][0]


def test_a_training_clip_is_its_own_nearest_normal(monitor, normal_paths):
    for path in normal_paths:
        assert monitor.judge(path).nearest_normal == f"fan/train/{path.name}"


def test_a_whistle_is_an_alarm_and_a_hum_is_not(detectors, make_sound, write_sound, tmp_path):
    monitor = Monitor.open(detectors["logmel"], false_alarm_rate=0.01)
    paths = [write_sound(tmp_path / f"{loud}.wav", make_sound(91, loud)) for loud in (0.0, 0.05)]
    assert [monitor.judge(path).decision for path in paths] == [0, 1]


def test_a_score_at_the_threshold_is_no_alarm(tmp_path):
    assert [Verdict(tmp_path, score, 2.0, "", 0.1).decision for score in (1.9, 2.0, np.nextafter(2.0, 3))] == [0, 0, 1]


def test_waveforms_score_as_their_files(monitor, normal_paths):
    scores = monitor.scores(map(monitor.waveform, normal_paths[2:5]))
    assert scores.tolist() == [monitor.judge(path).anomaly_score for path in normal_paths[2:5]]


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01])
def test_another_false_alarm_rate_sets_the_threshold_anew(detectors, rate):
    detector, card = storage.load(detectors["logmel"])
    monitor = Monitor.open(detectors["logmel"], false_alarm_rate=rate)
    assert monitor.card.threshold == threshold(detector.normal_scores, rate, card.thresholding)
    assert monitor.card.false_alarm_rate == rate


def test_fewer_false_alarms_need_a_higher_threshold(detectors):
    limits = [Monitor.open(detectors["logmel"], false_alarm_rate=r).card.threshold for r in (0.5, 0.2, 0.1, 0.01, 1e-6)]
    assert limits == sorted(set(limits))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 10.0, float("nan")])
def test_a_false_alarm_rate_out_of_range_is_refused(detectors, rate):
    with pytest.raises(InputError, match=r"--false-alarm-rate .*must lie between 0 and 1"):
        Monitor.open(detectors["logmel"], false_alarm_rate=rate)


def test_another_public_key_is_refused(folder, edited):
    detector = edited(folder("random-conv"), seed=4)
    with pytest.raises(InputError, match=r"made with another random-conv \(digest \w{12}\).*--weights or --key-file"):
        Monitor.open(detector)


def test_a_secret_key_must_be_the_one_of_the_run(save_detector, tmp_path):
    detector = save_detector(tmp_path / "detector", RandomConv(SECRET))
    right, wrong = tmp_path / "right.key", tmp_path / "wrong.key"
    right.write_bytes(SECRET)
    wrong.write_bytes(SECRET[::-1])
    assert Monitor.open(detector, key_file=str(right)).encoder.spec.note == "secret key"
    for other in ("", str(wrong)):
        with pytest.raises(InputError, match=f"{detector}: was made with another random-conv .*--key-file"):
            Monitor.open(detector, key_file=other)
    with pytest.raises(InputError, match=r"nowhere\.key: No such file"):
        Monitor.open(detector, key_file=str(tmp_path / "nowhere.key"))


@pytest.mark.parametrize(
    ("given", "words"),
    [({"weights": "w.h5"}, "encoder-weights = 'w.h5'"), ({"key_file": "k"}, "encoder-key-file = 'k'")],
)
def test_weights_or_a_key_without_effect_are_refused(detectors, given, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("w.h5", "k"):
        (tmp_path / name).write_bytes(bytes(32))
    with pytest.raises(InputError, match=f"{words}: encoder 'logmel' takes none"):
        Monitor.open(detectors["logmel"], **given)


def test_an_encoder_that_does_not_exist_here_is_named(folder, edited):
    with pytest.raises(InputError, match="encoder 'wav2vec' does not exist"):
        Monitor.open(edited(folder("logmel"), encoder="wav2vec"))


def test_the_runs_channel_is_the_one_that_is_heard(folder, edited, monitor, make_sound, write_sound, tmp_path):
    channels = np.random.default_rng(0).normal(0, 0.1, (len(make_sound(92)), 8))
    channels[:, 5] = make_sound(92)
    many, one = write_sound(tmp_path / "8.wav", channels), write_sound(tmp_path / "1.wav", make_sound(92))
    by_fifth = Monitor.open(edited(folder("logmel"), channel=5))
    assert by_fifth.judge(many).anomaly_score == monitor.judge(one).anomaly_score != monitor.judge(many).anomaly_score
    with pytest.raises(ClipError, match=rf"{one}: channel 5 was asked for, but it has 1"):
        by_fifth.judge(one)


def tones(rate):
    time = np.arange(int(1.5 * rate)) / rate
    return 0.1 * np.sin(2 * np.pi * 200 * time) + 0.05 * np.sin(2 * np.pi * 3000 * time)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_other_sample_rates_are_brought_to_the_encoders(monitor, write_sound, tmp_path, rate):
    waveform = monitor.waveform(write_sound(tmp_path / "tones.wav", tones(rate), rate, "FLOAT"))
    assert waveform.shape == (24_000,)
    np.testing.assert_allclose(waveform[500:-500], tones(16_000)[500:-500], atol=1e-4)


def test_another_rate_than_in_training_is_said_once(detectors, write_sound, tmp_path, caplog):
    monitor = Monitor.open(detectors["logmel"])
    for name, rate in (("a", 16_000), ("b", 48_000), ("c", 48_000), ("d", 8_000)):
        monitor.waveform(write_sound(tmp_path / f"{name}.wav", tones(rate), rate, "FLOAT"))
    said = [(Path(record.args[0]).name, *record.args[1:]) for record in caplog.records]
    assert said == [("b.wav", 48_000, 16_000), ("d.wav", 8_000, 16_000)]


@pytest.mark.parametrize("rate", [32_000, 48_000])
def test_a_copy_at_another_rate_scores_nearly_the_same(detectors, make_sound, write_sound, tmp_path, rate):
    """It lost what lay next to half the encoder's rate, where the filter begins: less than a whistle by far."""
    monitor = Monitor.open(detectors["random-conv"])
    hum, whistle = (
        monitor.judge(write_sound(tmp_path / f"{loud}.wav", make_sound(93, loud))).anomaly_score for loud in (0, 0.05)
    )
    samples = signal.resample(make_sound(93), int(1.5 * rate))  # by Fourier transform: all of the spectrum is kept
    copy = monitor.judge(write_sound(tmp_path / "copy.wav", samples, rate, "FLOAT")).anomaly_score
    assert abs(copy - hum) < 0.25 * (whistle - hum)


UNUSABLE = {
    "short": (lambda path, write, hum: write(path, hum[:15_999]), "shorter than one embedding window of 1 s"),
    "silent": (lambda path, write, hum: write(path, 0 * hum), "a constant signal, as from a dead sensor"),
    "offset": (lambda path, write, hum: write(path, 0 * hum + 0.25), "a constant signal"),
    "nan": (lambda path, write, hum: write(path, np.append(hum, np.nan), subtype="FLOAT"), "NaN or infinity"),
    "infinite": (lambda path, write, hum: write(path, np.append(hum, np.inf), subtype="FLOAT"), "NaN or infinity"),
    "no samples": (lambda path, write, hum: write(path, hum[:0]), "no audio"),
    "empty": (lambda path, write, hum: path.touch(), "the file is empty"),
    "text": (lambda path, write, hum: path.write_text("speed 1200 rpm"), "cannot be decoded"),
    "folder": (lambda path, write, hum: path.mkdir(), "cannot be read"),
    "missing": (lambda path, write, hum: None, "cannot be read"),
    "truncated": (
        lambda path, write, hum: path.write_bytes(write(path, hum).read_bytes()[:-2000]),
        "truncated (1.50 s stated",
    ),
    "odd rate": (lambda path, write, hum: write(path, hum, rate=15_991), "15991 Hz cannot be resampled"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_cannot_be_scored_is_refused_by_name(monitor, make_sound, write_sound, tmp_path, kind):
    spoil, words = UNUSABLE[kind]
    path = tmp_path / f"{kind}.wav"
    spoil(path, write_sound, make_sound(94))
    with pytest.raises(ClipError) as refused:
        monitor.judge(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert words in str(refused.value)


def test_one_second_is_enough(monitor, make_sound, write_sound, tmp_path):
    assert monitor.judge(write_sound(tmp_path / "second.wav", make_sound(94)[:16_000])).anomaly_score > 0
