from dataclasses import replace

import numpy as np
import pytest

from collab_asd.data.audio import Audio
from collab_asd.data.recorder import differences, profile
from collab_asd.data.statistics import measure

RATE = 16_000


def clip(seed, change=lambda x: x):
    sound = np.random.default_rng(seed).normal(0, 0.02, 2 * RATE)
    return measure(Audio(np.asarray(change(sound), np.float32), RATE, 1))


@pytest.fixture(scope="module")
def usual():
    return profile([clip(seed) for seed in range(10)])


def kinds(usual, statistics):
    return {kind for kind, _ in differences(usual, statistics)}


def low_passed(x):
    spectrum = np.fft.rfft(x)
    spectrum[len(spectrum) // 2 :] = 0
    return np.fft.irfft(spectrum, len(x))


def test_clips_of_the_same_recorder_do_not_differ(usual):
    assert [kinds(usual, clip(seed)) for seed in range(10, 30)] == [set()] * 20


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("offset", lambda x: x + 0.01),
        ("padding", lambda x: np.concatenate([np.zeros(2000), x[2000:]])),
        ("bandwidth", low_passed),
        ("level", lambda x: x / 100),
        ("clipped", lambda x: np.clip(x, -0.02, 0.02)),
        ("constant", lambda x: np.where(np.arange(len(x)) % RATE < RATE // 4, 0.001, x)),
        ("length", lambda x: x[: RATE // 2]),
    ],
)
def test_difference_is_named(usual, kind, change):
    assert kind in kinds(usual, clip(50, change))


def test_channels_and_a_band_that_was_narrow_in_training(usual):
    assert kinds(usual, replace(clip(50), channels=2)) == {"channels"}
    assert kinds(profile([clip(seed, low_passed) for seed in range(10)]), clip(50)) == {"bandwidth"}


def test_detector_that_says_nothing_of_its_recorder_compares_nothing():
    assert kinds({}, clip(50)) == set()
