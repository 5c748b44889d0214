import numpy as np
import pytest

from collab_asd.monitoring.drift import Drift, compare, describe

DRAWS = 200


def normals(seed, count):
    return np.random.default_rng(seed).gamma(3.0, size=count)


@pytest.mark.parametrize(("old", "new"), [(50, 20), (200, 100)])
def test_where_nothing_changed_drift_is_found_once_in_a_hundred(old, new):
    """Of 200 draws 2 are to be expected; 6 or fewer with a probability of 99.6 %."""
    found = sum(compare(normals(i, old), normals(DRAWS + i, new), 6.0).found for i in range(DRAWS))
    assert found <= 6


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_shift_by_more_than_the_spread_is_found(shift):
    drift = compare(normals(0, 100), normals(1, 40) + shift, 6.0)
    assert drift.found
    assert (drift.higher > 0.7) == (shift > 0)


def test_a_spread_that_changed_is_found_though_the_middle_stayed():
    rng = np.random.default_rng(0)
    drift = compare(rng.normal(0, 1, 400), rng.normal(0, 4, 400), 2.0)
    assert drift.found
    assert abs(drift.higher - 0.5) < 0.1


def test_fewer_than_twenty_clips_say_nothing():
    assert compare(normals(0, 100), [99.0] * 19, 6.0) is None
    assert compare(normals(0, 100), [], 6.0) is None
    assert compare(normals(0, 100), [99.0] * 20, 6.0).found


def test_the_numbers_by_hand():
    """Half of the new clips lie at 2, above one of four normals and level with another, half above all of them."""
    drift = compare(np.array([1.0, 2.0, 3.0, 4.0]), [2.0] * 10 + [5.0] * 10, threshold=4.5)
    assert (drift.clips, drift.alarms) == (20, 0.5)
    assert drift.higher == (0.5 * (1 + 0.5) + 0.5 * 4) / 4
    assert drift.statistic == pytest.approx(0.5)  # at 4, where all normals and half of the new clips are below


@pytest.mark.parametrize(("new", "expected"), [(0.0, 0.0), (1.0, 0.25), (2.0, 0.75), (3.0, 1.0)])
def test_the_share_of_higher_scores_counts_ties_half(new, expected):
    assert compare(np.array([1.0, 1.0, 2.0, 2.0]), [new] * 20, 9.0).higher == expected


def test_an_alarm_is_a_score_above_the_threshold():
    assert compare(normals(0, 30), [2.0] * 15 + [3.0] * 5, threshold=2.0).alarms == 0.25


@pytest.mark.parametrize(
    ("p_value", "higher", "words"),
    [
        (0.3, 0.9, ["no drift", "30 clips", "D = 0.42", "p = 0.3"]),
        (0.01, 0.9, ["no drift"]),
        (0.001, 0.9, ["drift: ", "no longer look like", "20% are above", "microphone", "record new normal clips"]),
        (0.001, 0.1, ["drift: ", "more normal than new recordings should", "copies of training clips"]),
    ],
)
def test_what_was_found_is_said_with_advice(p_value, higher, words):
    text = describe(Drift(clips=30, statistic=0.42, p_value=p_value, higher=higher, alarms=0.2))
    assert all(word in text for word in words), text
    assert text.startswith("no drift") == (p_value >= 0.01)
