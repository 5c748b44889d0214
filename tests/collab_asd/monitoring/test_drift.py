import numpy as np
import pytest

from collab_asd.monitoring.drift import Drift, compare, describe

DRAWS = 200


def normals(seed, count):
    return np.random.default_rng(seed).gamma(3.0, size=count)


@pytest.mark.parametrize(("old", "new"), [(50, 20), (200, 100)])
def test_where_nothing_changed_drift_is_found_once_in_a_hundred(old, new):
    """Of 200 draws 2 are to be expected; 6 or fewer with a probability of 99.6 %."""
    found = sum(compare(normals(i, old), normals(DRAWS + i, new), 6.0, 0.1).found for i in range(DRAWS))
    assert found <= 6


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_shift_by_more_than_the_spread_is_found(shift):
    drift = compare(normals(0, 100), normals(1, 40) + shift, 6.0, 0.1)
    assert drift.found
    assert (drift.higher > 0.7) == (shift > 0)


def test_a_spread_that_changed_is_found_though_the_middle_stayed():
    rng = np.random.default_rng(0)
    drift = compare(rng.normal(0, 1, 400), rng.normal(0, 4, 400), 2.0, 0.1)
    assert drift.found
    assert abs(drift.higher - 0.5) < 0.1


def test_fewer_than_twenty_clips_say_nothing():
    assert compare(normals(0, 100), [99.0] * 19, 6.0, 0.1) is None
    assert compare(normals(0, 100), [], 6.0, 0.1) is None
    assert compare(normals(0, 100), [99.0] * 20, 6.0, 0.1).found


def test_the_numbers_by_hand():
    """Half of the new clips lie at 2, above one of four normals and level with another, half above all of them."""
    drift = compare(np.array([1.0, 2.0, 3.0, 4.0]), [2.0] * 10 + [5.0] * 10, threshold=4.5, false_alarm_rate=0.1)
    assert (drift.clips, drift.alarms) == (20, 0.5)
    assert drift.higher == (0.5 * (1 + 0.5) + 0.5 * 4) / 4
    assert drift.statistic == pytest.approx(0.5)  # at 4, where all normals and half of the new clips are below


@pytest.mark.parametrize(("new", "expected"), [(0.0, 0.0), (1.0, 0.25), (2.0, 0.75), (3.0, 1.0)])
def test_the_share_of_higher_scores_counts_ties_half(new, expected):
    assert compare(np.array([1.0, 1.0, 2.0, 2.0]), [new] * 20, 9.0, 0.1).higher == expected


def test_an_alarm_is_a_score_above_the_threshold():
    assert compare(normals(0, 30), [2.0] * 15 + [3.0] * 5, threshold=2.0, false_alarm_rate=0.1).alarms == 0.25


def test_the_alarms_of_normal_clips_are_called_many_once_in_a_hundred():
    """Thresholds from 19 normals at 10 %, of 40 new normals each; 400 draws, of which 4 are to be expected."""
    many = 0
    for i in range(400):
        old = normals(i, 19)
        many += compare(old, normals(DRAWS + i, 40), np.sort(old)[17], 0.1).many_alarms
    assert many <= 10


def test_the_smallest_difference_that_shows_is_where_the_test_becomes_significant():
    """Of 12 normals and 20 new clips, D = 0.6 is significant at 0.01 and D = 0.55 is not."""
    old = np.arange(12.0)
    beyond, within = ([20.0] * high + [-1.0] * (20 - high) for high in (12, 11))
    assert compare(old, beyond, 30.0, 0.1).found
    assert not compare(old, within, 30.0, 0.1).found
    assert 0.55 < compare(old, within, 30.0, 0.1).smallest <= 0.6


def drift_of(normal, new, alarms, asked=0.1):
    """Compare clips of which so many are alarms and all others score as the normals do."""
    old = np.linspace(0, 1, normal)
    scores = [*np.linspace(0, 1, new - alarms), *[2.0] * alarms]
    return compare(old, scores, 1.5, asked)


@pytest.mark.parametrize(
    ("normal", "new", "alarms", "outcome"),
    [
        (12, 20, 10, "too few"),  # half are alarms, and the test cannot see it
        (12, 20, 1, "too few"),  # nothing looks wrong, and nothing could
        (12, 1000, 60, "too few"),  # as many new clips as one likes do not help
        (35, 20, 2, "too few"),
        (175, 20, 9, "drift"),
        (175, 40, 4, "no drift"),
        (48, 30, 10, "too few"),  # 33 % alarms are too many for chance, which D does not show
        (175, 40, 20, "drift"),
    ],
)
def test_no_drift_is_said_only_where_drift_would_have_been_seen(normal, new, alarms, outcome):
    drift = drift_of(normal, new, alarms)
    assert (drift.found, drift.too_few) == (outcome == "drift", outcome == "too few")
    text = describe(drift)
    assert text.startswith("no drift") == (outcome == "no drift")
    assert ("too few to tell" in text) == (outcome == "too few")
    assert f"{alarms / new:.0%} are above the threshold, 10% asked for" in text
    assert ("chance does not explain" in text) == drift.many_alarms


def test_many_alarms_come_with_advice():
    assert drift_of(12, 20, 10).many_alarms
    assert "look at the machine" in describe(drift_of(12, 20, 10))
    assert not drift_of(12, 20, 2).many_alarms
    assert "look at the machine" not in describe(drift_of(12, 20, 2))


@pytest.mark.parametrize(
    ("p_value", "higher", "words"),
    [
        (0.3, 0.9, ["no drift", "50 clips", "D = 0.42", "p = 0.3"]),
        (0.01, 0.9, ["no drift"]),
        (0.001, 0.9, ["drift: ", "no longer look like", "20% are above", "microphone", "record new normal clips"]),
        (0.001, 0.1, ["drift: ", "more normal than new recordings should", "copies of training clips"]),
    ],
)
def test_what_was_found_is_said_with_advice(p_value, higher, words):
    text = describe(Drift(175, 50, 0.42, p_value, higher, alarms=0.2, asked=0.1, alarms_p_value=0.2))
    assert all(word in text for word in words), text
    assert text.startswith("no drift") == (p_value >= 0.01)
