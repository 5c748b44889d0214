"""Clips of one machine that were recorded in different ways, as a check of the whole folder sees them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from collab_asd.data.check import check
from collab_asd.data.layouts import find_clips

RATE = 16_000
EVERYTHING = [("train", "normal", 8), ("test", "normal", 4), ("test", "anomaly", 4)]


def machine_sound(seed, rate=RATE, seconds=2.0):
    """Noise that falls towards high frequencies, and a hum, as of a motor."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.02, int(seconds * rate))
    time = np.arange(len(noise)) / rate
    return noise + np.convolve(noise, np.ones(8) / 2, mode="same") + 0.03 * np.sin(2 * np.pi * 99 * time + seed)


@pytest.fixture
def record_machine(tmp_path):
    """Write one machine's clips, changed by a function of waveform, rate, split, label and number."""

    def record_machine(change, subtype="PCM_16", suffix="wav", rate=RATE):
        for k, (split, label, count) in enumerate(EVERYTHING):
            folder = tmp_path / "fan" / split
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                x, r, *rest = change(machine_sound(100 * k + i, rate), rate, split, label, i)
                path = folder / f"{label}_id_00_{i:08d}.{rest[0] if rest else suffix}"
                soundfile.write(path, x, r, subtype=None if path.suffix == ".ogg" else subtype)
        return tmp_path

    return record_machine


def found(folder: Path, **options):
    """Severity and the kind of difference of each problem, but what concerns the number of machines."""
    problems = check(folder, find_clips(folder), shares=False, **options).problems
    return {(p.severity, p.what.split(" (")[0].removeprefix("its clips differ in ")) for p in problems}


def to_rate(x, rate):
    return resample_poly(x, rate, RATE)


def band_limited(x, rate, limit):
    spectrum = np.fft.rfft(x)
    spectrum[int(limit / rate * len(x)) :] = 0
    return np.fft.irfft(spectrum, len(x))


def padded(x, samples):
    return np.concatenate([x[: len(x) - samples], np.zeros(samples)])


IN_ONE_PLACE = {
    "normal tests": lambda split, label, i: (split, label) == ("test", "normal"),
    "anomalies": lambda split, label, i: label == "anomaly",
    "training": lambda split, label, i: split == "train",
    "one anomaly": lambda split, label, i: label == "anomaly" and i == 0,
    "one normal test": lambda split, label, i: (split, label, i) == ("test", "normal", 2),
}
CHANGES = {
    "sample rate": lambda x, r: (to_rate(x, 8_000), 8_000),
    "number of channels": lambda x, r: (np.stack([x, x], axis=1), r),
    "bandwidth": lambda x, r: (band_limited(x, r, 4_000), r),
    "offset": lambda x, r: (x + 0.005, r),
    "constant stretches at their ends, s": lambda x, r: (padded(x, 1600), r),
    "compression": lambda x, r: (x, r, "ogg"),
}


def test_clips_that_are_recorded_alike(record_machine):
    assert found(record_machine(lambda x, r, *_: (x, r))) == set()


@pytest.mark.parametrize("where", IN_ONE_PLACE)
@pytest.mark.parametrize("kind", CHANGES)
def test_difference_that_no_machine_causes_is_an_error(record_machine, kind, where):
    folder = record_machine(lambda x, r, *at: CHANGES[kind](x, r) if IN_ONE_PLACE[where](*at) else (x, r))
    assert found(folder) == {("error", kind)}
    assert found(folder, allow_mixed=True) == {("warning", kind)}


def resampled(x, noise):
    """What was recorded at 8 kHz, after a resampler that lets something through, and noise of a converter."""
    rest = noise / 2**15 * np.random.default_rng(1).normal(size=len(x))
    return resample_poly(resample_poly(x, 1, 2), 2, 1)[: len(x)] + rest


def begun_late(x):
    """A beginning of nothing but the last bit."""
    return np.concatenate([np.random.default_rng(1).integers(-1, 2, 1600) / 2**15, x[1600:]])


@pytest.mark.parametrize("where", ["normal tests", "anomalies", "training", "one anomaly"])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bandwidth", lambda x: resampled(x, 0)),
        ("bandwidth", lambda x: resampled(x, 0.5)),
        ("bandwidth", lambda x: resampled(x, 3)),
        ("constant stretches at their ends, s", begun_late),
    ],
)
def test_difference_beneath_which_something_is_left_is_an_error(record_machine, kind, change, where):
    folder = record_machine(lambda x, r, *at: (change(x) if IN_ONE_PLACE[where](*at) else x, r))
    assert found(folder) == {("error", kind)}


@pytest.mark.parametrize("kind", CHANGES)
def test_clips_that_are_all_mixed_alike_are_worth_a_look(record_machine, kind):
    folder = record_machine(lambda x, r, split, label, i: CHANGES[kind](x, r) if i % 2 else (x, r))
    assert {severity for severity, _ in found(folder)} <= {"warning"}


@pytest.mark.parametrize("kind", CHANGES)
def test_clips_that_all_have_a_fault_do_not_differ(record_machine, kind):
    assert found(record_machine(lambda x, r, *_: CHANGES[kind](x, r))) == set()


def test_wide_file_that_holds_a_narrow_band(record_machine):
    def change(x, r, split, label, i):
        return (band_limited(x, r, 8_000) if split == "test" else x), r

    assert found(record_machine(change, rate=48_000)) == {("error", "bandwidth")}


def test_floats_in_another_unit(record_machine):
    def change(x, r, split, label, i):
        return (x * 30_000.3 if label == "anomaly" else x), r

    severities = {what: severity for severity, what in found(record_machine(change, subtype="FLOAT"))}
    assert severities["full scale"] == "error"
    assert "warning" in {severity for what, severity in severities.items() if what.startswith("floats beyond")}


def test_a_fault_may_be_louder_and_fill_other_frequencies(record_machine):
    def change(x, r, split, label, i):
        rattle = np.random.default_rng(i).normal(0, 0.06, len(x)) if label == "anomaly" else 0
        return x + rattle, r

    assert found(record_machine(change)) == set()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("level, dB", lambda x: x / 10),
        ("noise floor, dB", lambda x: x * np.repeat([1.0, 0.03, 1.0, 0.03], len(x) // 4)),
        ("length, s", lambda x: x[: int(1.5 * RATE)]),
        ("share of clipped samples", lambda x: np.clip(x, -0.04, 0.04)),
    ],
)
def test_what_a_machine_may_cause_is_a_warning(record_machine, kind, change):
    folder = record_machine(lambda x, r, split, label, i: (change(x) if split == "train" else x, r))
    assert ("warning", kind) in found(folder)
    assert not any(severity == "error" for severity, _ in found(folder))


def test_channel_that_is_nearly_dead(record_machine):
    def change(x, r, split, label, i):
        dead = np.random.default_rng(i).integers(-1, 2, len(x)) / 32768
        return np.stack([dead if (split, i) == ("test", 0) else x, x], axis=1), r

    assert any("nearly dead" in what for _, what in found(record_machine(change)))


def test_dead_channel_that_is_not_used_is_a_note(record_machine):
    folder = record_machine(lambda x, r, *_: (np.stack([x, 0 * x], axis=1), r))
    assert {severity for severity, _ in found(folder)} == {"note"}


def test_offsets_that_wander_alike_everywhere_are_no_difference(record_machine):
    folder = record_machine(lambda x, r, split, label, i: (x + 0.01 * np.sin(2.3 * i), r))
    assert found(folder) == set()
