import numpy as np
import pytest
import torch
import torchaudio.functional

from collab_asd.data import resampling
from collab_asd.data.resampling import resample


@pytest.mark.parametrize(("clip", "rate"), [("wave16", 16_000), ("wave44100", 44_100)])
def test_resamples_as_resampy_does(shared, clip, rate):
    with np.load(shared / "golden" / "openl3.npz") as golden:
        np.testing.assert_allclose(resample(golden[clip], rate, 48_000), golden[f"{clip}_resampled48"], atol=5e-7)


def test_is_not_the_filter_of_later_resampy(shared):
    with np.load(shared / "golden" / "openl3.npz") as golden:
        found = resample(golden["wave16"], 16_000, 48_000)[:4800]
        assert np.abs(found - golden["wave16_resampled48_resampy043_first4800"]).max() > 0.03


@pytest.mark.parametrize(("rate", "new_rate"), [(16_000, 48_000), (44_100, 16_000), (48_000, 16_000), (22_050, 32_000)])
def test_is_the_filter_of_torchaudio_but_for_the_table(rate, new_rate):
    """torchaudio counts zero crossings after the roll-off."""
    noise = np.random.default_rng(0).standard_normal(4_000).astype(np.float32)
    rolloff = 0.9475937167399596
    expected = torchaudio.functional.resample(
        torch.from_numpy(noise).double(),
        rate,
        new_rate,
        lowpass_filter_width=64 * rolloff,
        rolloff=rolloff,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    np.testing.assert_allclose(resample(noise, rate, new_rate), expected, atol=2e-5)


def test_removes_what_the_new_rate_cannot_hold():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000).astype(np.float32)
    aliased = resample(tone, 48_000, 16_000)
    assert np.abs(aliased[400:-400]).max() < 1e-4


def test_length_is_rounded_up():
    assert resample(np.zeros(101, np.float32), 3, 2).shape == (68,)


def test_reads_a_read_only_waveform():
    waveform = np.ones(100, np.float32)
    waveform.flags.writeable = False
    assert resample(waveform, 1, 2).shape == (200,)


@pytest.mark.parametrize(("rate", "new_rate"), [(48_000, 16_000), (8_000, 16_000), (44_100, 16_000)])
def test_long_recordings_are_resampled_piece_by_piece_to_the_same(monkeypatch, rate, new_rate):
    noise = np.random.default_rng(0).standard_normal(10_003).astype(np.float32)
    whole = resample(noise, rate, new_rate)
    monkeypatch.setattr(resampling, "BLOCK", 1_000)
    np.testing.assert_allclose(resample(noise, rate, new_rate), whole, atol=3e-6)
