"""Noises and blows, against what they are by definition."""

import numpy as np
import pytest
from scipy import signal

from collab_asd.data.synthetic.signals import blows, coloured_noise, rms

RATE = 16000


def test_blows_outside_the_clip_are_cut():
    train = blows(np.array([-40.0, 99.0, 200.0]), 0.001, 0.0, 100, RATE, np.random.default_rng(0))
    assert len(train) == 100
    assert np.flatnonzero(train).tolist() == [99]


def test_coloured_noise_rises_by_its_slope():
    noise = coloured_noise(-6.0, 10 * RATE, RATE, np.random.default_rng(0))
    frequencies, power = signal.welch(noise, RATE, nperseg=1024)
    octave = [
        10 * np.log10(power[(frequencies > f * 0.9) & (frequencies < f * 1.1)].mean()) for f in (1000, 2000, 4000)
    ]
    np.testing.assert_allclose(np.diff(octave), [-6.0, -6.0], atol=0.4)
    assert rms(noise) == pytest.approx(1.0, abs=1e-3)
