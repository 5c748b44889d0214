"""Clips that share sound across splits, machines or labels, made from noise that sounds alike everywhere."""

import shutil

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter, resample_poly

from collab_asd.data.check import check
from collab_asd.data.layouts import find_clips

RATE = 16_000
TRAIN = "fan/train/normal_id_00_00000000.wav"
COPY = "fan/test/normal_id_00_00000099.wav"


def machine_sound(seed, hum=0.02, seconds=6.0):
    """Stationary noise and a hum of 100 Hz with its harmonics, which is the same in all clips."""
    time = np.arange(int(seconds * RATE)) / RATE
    noise = lfilter([0.02], [1, -0.7], np.random.default_rng(seed).normal(size=len(time)))
    return noise + hum * sum(np.sin(2 * np.pi * 100 * k * time) / k for k in range(1, 20))


def write(path, samples, rate=RATE, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Two machines of five training and three test clips."""
    root = tmp_path_factory.mktemp("original")
    for machine in range(2):
        for k, (split, label, count) in enumerate(
            [("train", "normal", 5), ("test", "normal", 2), ("test", "anomaly", 1)]
        ):
            for i in range(count):
                path = root / "fan" / split / f"{label}_id_0{machine}_{i:08d}.wav"
                write(path, machine_sound(100 * machine + 10 * k + i))
    return root


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "data")


def errors(folder):
    """Path and what is wrong, of each error but those of recorders."""
    report = check(folder, find_clips(folder), allow_mixed=True)
    return {(str(p.path.relative_to(folder)), p.what) for p in report.problems if p.severity == "error" and p.path}


LEAK = {(TRAIN, "it shares sound with a test clip: the test would be no test")}
COPIES = {
    **{f"without {n} samples": lambda x, n=n: (x[n:], RATE) for n in (1, 2, 3, 5, 100, 777, 5_001, 20_000)},
    **{f"without the last {n} samples": lambda x, n=n: (x[:-n], RATE) for n in (1, 20_000)},
    **{f"times {gain}": lambda x, gain=gain: (x * gain, RATE) for gain in (0.999, 0.1, 1.9, -1.0)},
    **{
        f"at {rate} Hz": lambda x, rate=rate: (resample_poly(x, rate, RATE), rate)
        for rate in (8_000, 11_025, 22_050, 44_100, 48_000)
    },
    "with 24 bits and less gain": lambda x: (x * 0.7, RATE, "PCM_24"),
    "second half": lambda x: (x[len(x) // 2 :], RATE),
    "half of it, then other sound": lambda x: (
        np.concatenate([x[len(x) // 2 :], machine_sound(999)[: len(x) // 2]]),
        RATE,
    ),
    "other sound, then half of it": lambda x: (
        np.concatenate([machine_sound(999)[: len(x) // 2], x[: len(x) // 2]]),
        RATE,
    ),
    "with an offset": lambda x: (x + 0.1, RATE),
    "with other noise": lambda x: (x + 0.2 * np.random.default_rng(0).normal(0, x.std(), len(x)), RATE),
    "trimmed and at 8 kHz": lambda x: (resample_poly(x[333:], 1, 2), RATE // 2),
}


def test_clips_of_stationary_noise_do_not_share_sound(folder):
    assert errors(folder) == set()


@pytest.mark.parametrize("hum", [0.0, 0.3])
def test_hum_that_drowns_the_noise_is_not_the_same_sound(folder, hum):
    for i, path in enumerate(sorted(folder.rglob("*.wav"))):
        write(path, machine_sound(i, hum))
    assert errors(folder) == set()


@pytest.mark.parametrize("change", COPIES)
def test_copy_among_the_test_clips_is_found(folder, change):
    write(folder / COPY, *COPIES[change](soundfile.read(folder / TRAIN)[0]))
    assert errors(folder) == LEAK


def test_copies_under_two_machines_and_two_labels_are_found(folder):
    samples = soundfile.read(folder / TRAIN)[0][50:]
    write(folder / "fan/train/normal_id_01_00000009.wav", samples)
    write(folder / "fan/test/anomaly_id_00_00000009.wav", 0.9 * soundfile.read(folder / COPY.replace("99", "01"))[0])
    found = errors(folder)
    assert (TRAIN, "it shares sound with a clip of another machine") in found
    assert ("fan/test/normal_id_00_00000001.wav", "it shares sound with a clip of the other label") in found


def test_training_clips_that_are_nearly_the_same_are_not_distinct(folder):
    samples = soundfile.read(folder / TRAIN)[0]
    for i in range(1, 5):
        write(folder / f"fan/train/normal_id_00_{i:08d}.wav", samples[i:] * (1 - i / 1000))
    (problem,) = (p for p in check(folder, find_clips(folder)).problems if p.severity == "error")
    assert (problem.subject, problem.path) == ("fan/00", None)
    assert problem.what == "only 1 distinct recording among 5 training clips"


def test_overlapping_cuts_within_the_training_clips_are_distinct(folder):
    long = machine_sound(7, seconds=18.0)
    for i in range(5):
        write(folder / f"fan/train/normal_id_00_{i:08d}.wav", long[i * 3 * RATE :][: 6 * RATE])
    assert not any(p.severity == "error" for p in check(folder, find_clips(folder)).problems)


def test_leaving_out_the_training_copies_is_enough(folder):
    from collab_asd.data.check import require_good

    write(folder / COPY, 0.999 * soundfile.read(folder / TRAIN)[0])
    clips = find_clips(folder)
    kept, left_out = require_good(clips, check(folder, clips), skip_bad=True)
    assert {clip.path for clip in clips} - {clip.path for clip in kept} == {folder / TRAIN}
    assert len(left_out) == 1


def test_copy_with_more_bits_is_the_same_audio(folder):
    write(folder / COPY, soundfile.read(folder / TRAIN)[0], subtype="PCM_24")
    assert errors(folder) == {(TRAIN, f"the same audio as test clip {COPY}: the test would be no test")}
