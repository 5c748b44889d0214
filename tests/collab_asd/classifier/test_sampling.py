import numpy as np
import pytest

from collab_asd.classifier.sampling import WindowSampler, input_statistics, stacked_windows
from collab_asd.core.errors import InputError

# Three clips of class 0 and one of class 1, with 3, 3, 3 and 2 windows of four frames.
CLIPS = [np.arange(12, dtype=np.float32).reshape(6, 2) + 100 * i for i in range(3)]
CLIPS.append(np.full((5, 2), 900, np.float32))
CLASSES = [0, 0, 0, 1]


def sampler():
    return WindowSampler(CLIPS, CLASSES, stack=4, hop=1)


def test_gather_copies_the_windows_asked_for():
    batch = sampler().gather(np.array([4, 0, 9]))  # second window of clip 1, first of clip 0, first of clip 3
    np.testing.assert_array_equal(batch, np.stack([CLIPS[1][1:5], CLIPS[0][:4], CLIPS[3][:4]]))


@pytest.mark.parametrize(("stack", "hop"), [(1, 1), (4, 1), (4, 3), (5, 2), (6, 4), (9, 2)])
def test_gather_copies_what_the_view_of_a_clip_shows(stack, hop):
    """Clips shorter than a window included, which are repeated to fill one."""
    windows = WindowSampler(CLIPS, CLASSES, stack, hop)
    seen = np.concatenate([stacked_windows(clip, stack, hop) for clip in CLIPS])
    np.testing.assert_array_equal(windows.gather(np.arange(len(seen))), seen)


def test_every_class_gives_the_same_number_of_windows():
    windows = sampler()
    drawn = windows.epoch(np.random.default_rng(0), per_class=6)
    classes = windows.classes[drawn]
    assert (classes == 0).sum() == (classes == 1).sum() == 6
    assert len(set(drawn[classes == 0])) == 6  # none twice while there are enough
    assert {int(i): int((drawn == i).sum()) for i in (9, 10)} == {9: 3, 10: 3}


def test_equal_classes_give_every_window_once():
    windows = WindowSampler(CLIPS[:2], [0, 1], stack=4, hop=1)
    assert sorted(windows.epoch(np.random.default_rng(0), per_class=None)) == [0, 1, 2, 3, 4, 5]


def test_statistics_are_those_of_all_frames():
    mean, deviation = input_statistics(CLIPS, CLASSES)
    frames = np.concatenate(CLIPS).astype(np.float64)
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, frames.std(axis=0), rtol=1e-6)


def test_dimensions_that_hardly_vary_are_not_blown_up():
    clip = np.zeros((4, 2), np.float32)
    clip[:, 0] = [-1, 1, -1, 1]
    _, deviation = input_statistics([clip], [0])
    np.testing.assert_allclose(deviation, [1.0, 0.01])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_what_is_not_finite(value):
    bad = CLIPS[2].copy()
    bad[3, 1] = value
    with pytest.raises(InputError, match=r"clip 1 \(class 1\)"):
        input_statistics([CLIPS[0], bad], [0, 1])
