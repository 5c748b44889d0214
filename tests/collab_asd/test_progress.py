"""Steps, what is said of them, and the time that is left, on simulated clocks."""

import heapq
import logging

import numpy as np
import pytest

from collab_asd.core import progress
from collab_asd.core.progress import Lines, Pace, Step, duration, step


@pytest.fixture
def clock(monkeypatch):
    """Say what time it is, in seconds; nothing was ever written, and nobody watches."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "_display", progress.Display())
    monkeypatch.setattr(progress, "_steps", [])
    progress.line_written()
    return now


@pytest.fixture
def lines(caplog, monkeypatch):
    """Lines that were logged; other tests may have sent the project's lines elsewhere."""
    monkeypatch.setattr(logging.getLogger("collab_asd"), "propagate", True)
    caplog.set_level(logging.INFO, "collab_asd.core.progress")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def watch(clock):
    """Let time pass, with a look at the steps every half second."""
    display = Lines()

    def pass_time(seconds):
        for _ in range(int(2 * seconds)):
            clock[0] += 0.5
            display.tick(clock[0], progress._steps)

    return pass_time


# The time that is left.


def shown(durations, cost=None, workers=1):
    """Do parts on some workers; return (share of the work, time shown, true time) each second."""
    free, ends = [0.0] * workers, []
    for number, seconds in enumerate(durations):
        ends.append((heapq.heappop(free) + seconds, number))
        heapq.heappush(free, ends[-1][0])
    cost = [1.0] * len(durations) if cost is None else cost
    pace, done, ends = Pace(sum(cost), 0.0, workers), 0.0, sorted(ends)
    found, last = [], ends[-1][0]
    for now in np.arange(1.0, last):
        while ends and ends[0][0] <= now:
            end, number = ends.pop(0)
            pace.note(end, cost[number])
            done += cost[number]
        found.append((done / sum(cost), pace.remaining(now), last - now))
    return found


def given(found):
    return [(share, left, true) for share, left, true in found if left is not None]


def test_even_work_is_known_exactly_from_a_tenth_on():
    found = shown([4.0] * 100)
    assert [left for share, left, _ in found if share < 0.1] == [None] * 39
    assert all(left == pytest.approx(true) for share, left, true in found if 0.1 <= share < 0.97)


def test_a_short_look_and_a_short_remainder_have_no_time():
    found = given(shown([0.1] * 500))
    assert len(found) > 25
    assert all(9.9 < true < 40.1 for _, _, true in found)  # of 50 s


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("count", [20, 100, 800])
@pytest.mark.parametrize(
    "shape",
    [
        lambda place: np.ones_like(place),
        lambda place: 1 + place,
        lambda place: 1 + 3 * place,
        lambda place: 0.01 + place,
        lambda place: (0.1 + place) ** 2,
        lambda place: 10**place,
        lambda place: 4 - 3 * place,
        lambda place: 10**-place,
        lambda place: np.where(place < 0.3, 1e-3, 1.0),
    ],
    ids=["even", "twice", "four times", "from nothing", "square", "ten times", "quarter", "tenth", "cached first"],
)
def test_what_is_shown_is_right_within_a_factor_of_two_while_durations_grow_or_shrink(shape, count, workers):
    durations = shape(np.arange(count) / count)
    found = shown(durations * 1000 * workers / durations.sum(), workers=workers)
    assert all(0.5 <= left / true <= 2 for _, left, true in given(found))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_most_of_even_work_has_a_time(workers):
    found = shown([3.0] * 400, workers=workers)
    assert len(given(found)) > 0.7 * len(found)


def test_a_slow_start_is_waited_out():
    found = shown([60.0] + [1.0] * 199)
    assert all(0.5 <= left / true <= 2 for _, left, true in given(found))
    assert 0.2 < given(found)[0][0] < 0.5  # the other 199 s are longer than the start by then


def test_few_parts_have_no_time():
    assert given(shown([100.0] * 7)) == []


def test_cached_parts_that_come_first_hide_the_time_unless_their_cost_is_known():
    durations, cost = [1e-2] * 50 + [10.0] * 50, [0.0] * 50 + [1.0] * 50
    assert given(shown(durations)) == []
    found = given(shown(durations, cost))
    assert all(left == pytest.approx(true, rel=0.02) for _, left, true in found)
    assert found[0][0] <= 0.17


@pytest.mark.parametrize("durations", [[1.0] * 50 + [10.0] * 50, [10.0] * 50 + [1.0] * 50])
def test_known_costs_make_uneven_parts_comparable(durations):
    found = given(shown(durations, cost=durations))
    assert len(found) > 400
    assert all(left == pytest.approx(true) for _, left, true in found)


def test_a_part_that_hangs_takes_the_time_away():
    pace = Pace(100, 0.0)
    for second in range(1, 51):
        pace.note(second, 1)
    assert pace.remaining(50.0) == pytest.approx(50)
    assert pace.remaining(51.5) == pytest.approx(48.5)
    assert pace.remaining(52.5) is None  # the longest wait before was one second


def test_noise_leaves_a_time_that_is_right():
    rng = np.random.default_rng(0)
    found = [given(shown(rng.gamma(10, 0.1, size=400))) for _ in range(10)]  # a spread of a third of the mean
    ratios = [left / true for one in found for _, left, true in one]
    assert len(ratios) > 2000
    assert all(0.5 <= ratio <= 2 for ratio in ratios)


def test_no_parts_at_all_have_no_time():
    assert Pace(10, 0.0).remaining(50.0) is None


# Steps.


def test_a_step_without_comparable_parts_shows_no_time(clock):
    heterogeneous = Step("cells", 20)
    for _ in range(10):
        clock[0] += 6
        heterogeneous.advance()
    assert heterogeneous.line(clock[0]) == "cells: 10 of 20 after 60 s"


def test_a_step_of_even_parts_says_what_is_left(clock):
    even = Step("rounds", 20, even=True)
    for _ in range(10):
        clock[0] += 15
        even.advance()
    assert even.line(clock[0]) == "rounds: 10 of 20 after 2 min 30 s, about 2 min 30 s left"


def test_a_step_of_known_costs_says_what_is_left(clock):
    uneven = Step("clips", 40, cost=[0] * 20 + [1, 3] * 10)
    uneven.advance(20)
    for seconds in [3, 9] * 5:
        clock[0] += seconds
        uneven.advance()
    assert uneven.line(clock[0]) == "clips: 30 of 40 after 60 s, about 60 s left"


def test_a_resumed_download_is_judged_by_what_it_has_brought(clock):
    download = Step("a.zip", 10_000_000, done=6_000_000, even=True, in_bytes=True)
    for _ in range(10):
        clock[0] += 1
        download.advance(200_000)
    assert download.line(clock[0]) == "a.zip: 8.0 of 10.0 MB after 10 s at 0.2 MB/s, about 10 s left"


def test_an_unknown_total_is_left_out(clock):
    download = Step("b.zip", in_bytes=True)
    clock[0] += 10
    download.advance(5_000_000)
    assert download.line(clock[0]) == "b.zip: 5.0 MB after 10 s at 0.5 MB/s"
    waiting = Step("waiting")
    clock[0] += 7
    assert waiting.line(clock[0]) == "waiting: 7 s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (120, "2 min"), (200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


# Lines.


def test_quick_steps_are_not_mentioned(watch, lines):
    with step("quick"):
        watch(0.5)
    watch(20)
    assert lines() == []


def test_a_step_is_mentioned_after_a_second_and_then_every_four(watch, lines):
    with step("clips", 100) as advance:
        for _ in range(10):
            watch(1)
            advance()
    assert lines() == ["clips: 0 of 100 after 1 s", "clips: 4 of 100 after 5 s", "clips: 8 of 100 after 9 s"]


def test_there_is_a_line_every_few_seconds_whatever_is_done(watch, lines):
    with step("all"):
        for _ in range(60):  # no step lasts long enough to be mentioned for its own sake
            with step("short"):
                watch(0.5)
    assert len(lines()) >= 30 // progress.LINE_SECONDS - 1


def test_a_line_of_somebody_else_is_as_good(watch, lines):
    with step("all"):
        watch(1)
        for _ in range(10):
            watch(3)
            progress.line_written()
    assert lines() == ["all: 1 s"]


def test_a_step_within_a_counted_one_is_said_with_it(watch, lines):
    with step("outside"), step("cells", 3) as cell:
        cell()
        with step("clips", 2) as clip:
            clip()
            watch(1)
        cell(2)
        with step("summary"):
            watch(1)
    assert lines() == ["cells: 1 of 3 after 1 s; clips: 1 of 2 after 1 s", "summary: 1 s"]


def test_a_step_that_has_just_begun_is_left_out(watch, lines):
    with step("rounds", 9):
        watch(1)
        for _ in range(4):
            with step("training"):
                watch(0.5)
            watch(0.5)
    assert lines() == ["rounds: 0 of 9 after 1 s", "rounds: 0 of 9 after 5 s"]


def test_lines_are_below_what_quiet_shows(watch, lines, caplog):
    caplog.set_level(logging.WARNING, "collab_asd.core.progress")
    with step("x", 2):
        watch(20)
    assert lines() == []


def test_what_breaks_within_a_step_is_not_swallowed_and_ends_it(watch, lines):
    with pytest.raises(ZeroDivisionError), step("x", 1):
        raise ZeroDivisionError
    watch(20)
    assert lines() == []


def test_steps_go_to_the_display_that_was_set(clock):
    seen = []

    class Recorder(progress.Display):
        def changed(self, steps):
            seen.append([(step.what, step.done) for step in steps])

    progress.show_on(Recorder())
    with step("clips", 3) as advance:
        advance(2)
        with step("inner"):
            pass
    assert seen == [[], [("clips", 0)], [("clips", 2), ("inner", 0)], [("clips", 2)], []]
