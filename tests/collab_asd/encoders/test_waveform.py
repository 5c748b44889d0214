import numpy as np
import pytest

from collab_asd.classifier.sampling import window_count
from collab_asd.encoders.logmel import LogMel
from collab_asd.encoders.waveform import Waveform

RAMP = np.arange(2000, dtype=np.float32) / 2000


def test_frames_of_a_ramp_are_its_samples():
    frames = Waveform()(RAMP)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, [RAMP[:512], RAMP[512:1024], RAMP[1024:1536]])


def test_frame_counts():
    assert [Waveform().frames(n) for n in (0, 511, 512, 1535, 1536, 160_000)] == [0, 0, 1, 2, 3, 312]


def test_a_reader_is_told_that_nothing_is_private():
    assert Waveform().spec.note == "not private: shares the recording itself"


@pytest.mark.parametrize("samples", [34_000, 100_000, 160_000, 176_400])
def test_its_windows_are_those_of_log_mel_frames(samples):
    """As many windows, each with the samples of as many spectra, from as many samples on."""
    here, there = Waveform(), LogMel()
    counts = [window_count(e.frames(samples), e.spec.stack, e.spec.stack_hop) for e in (here, there)]
    assert counts[0] == counts[1]
    assert there.frames(here.spec.stack * here.spec.hop) == there.spec.stack
    assert here.spec.stack_hop * here.spec.hop == there.spec.stack_hop * there.spec.hop
