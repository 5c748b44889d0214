import numpy as np
import pytest

from collab_asd.classifier.sampling import stacked_windows, window_count

FRAMES = np.arange(20 * 3, dtype=np.float32).reshape(20, 3)


def test_windows_are_views_with_the_exact_frames():
    windows = stacked_windows(FRAMES, stack=8, hop=4)
    assert windows.shape == (4, 8, 3)
    assert np.shares_memory(windows, FRAMES)
    for i, window in enumerate(windows):
        np.testing.assert_array_equal(window, FRAMES[4 * i : 4 * i + 8])


def test_a_short_clip_is_repeated_from_its_start():
    windows = stacked_windows(FRAMES[:3], stack=7, hop=2)
    np.testing.assert_array_equal(windows, FRAMES[[0, 1, 2, 0, 1, 2, 0]][None])


@pytest.mark.parametrize(
    ("frames", "stack", "hop", "count"),
    [(20, 8, 1, 13), (96, 32, 4, 17), (8, 8, 4, 1), (11, 8, 4, 1), (12, 8, 4, 2), (3, 8, 1, 1)],
)
def test_window_count(frames, stack, hop, count):
    assert window_count(frames, stack, hop) == count
    assert len(stacked_windows(np.zeros((frames, 2), np.float32), stack, hop)) == count
