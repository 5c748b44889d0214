import numpy as np

from collab_asd.audit.spectra import MEL_BANDS, Timing, spectra_of_rows
from collab_asd.encoders.logmel import LogMel
from collab_asd.encoders.random_conv import RandomConv


def test_a_row_stands_for_the_middle_of_its_windows():
    # A frame of random-conv sees 13,424 samples every 1,600; eight of them follow one another for 12,800.
    timing = Timing.of(RandomConv(b"0" * 16).spec, pooled=8)
    assert (timing.first, timing.length, timing.hop, timing.spectra) == (5912, 12800, 512, 25)
    assert Timing.of(LogMel().spec, pooled=1) == Timing(256, 512)


def test_a_burst_is_in_the_row_in_whose_stretch_it_sounds():
    timing = Timing(first=2048, length=4096)
    sound = np.full(40_000, 1e-3, np.float32)
    sound[2048 + 2 * 4096 : 2048 + 3 * 4096] = np.sin(np.arange(4096) * 0.8)
    rows = spectra_of_rows(sound, timing, rows=5)
    assert rows.shape == (5, 8 * MEL_BANDS)
    norm_ratio = rows.reshape(40, MEL_BANDS).max(axis=1)
    assert sorted(np.argsort(norm_ratio)[-8:].tolist()) == list(range(16, 24))


def test_rows_beyond_the_end_are_left_out():
    assert len(spectra_of_rows(np.ones(10_000, np.float32), Timing(0, 4096), rows=5)) == 2
