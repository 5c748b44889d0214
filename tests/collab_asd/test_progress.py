import logging
from contextlib import contextmanager

import pytest

from collab_asd import progress


@pytest.fixture
def clock(monkeypatch):
    """Say what time it is, in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog, monkeypatch):
    """Lines that were logged; other tests may have sent the project's lines elsewhere."""
    monkeypatch.setattr(logging.getLogger("collab_asd"), "propagate", True)
    caplog.set_level(logging.INFO, "collab_asd.progress")
    return lambda: [record.getMessage() for record in caplog.records]


def test_quick_work_is_one_line(clock, lines):
    with progress.LogLines().step("embedding clips", 50) as advance:
        for _ in range(50):
            clock[0] += 0.1
            advance()
    assert lines() == ["embedding clips: 50"]


def test_slow_work_says_every_ten_seconds_what_is_left(clock, lines):
    with progress.LogLines().step("embedding clips", 10) as advance:
        for _ in range(10):
            clock[0] += 4.0
            advance()
    assert lines() == [
        "embedding clips: 10",
        "embedding clips: 3 of 10, 28 s left",  # after 12 s
        "embedding clips: 6 of 10, 16 s left",
        "embedding clips: 9 of 10, 4 s left",
    ]


def test_a_line_comes_at_ten_seconds_not_before(clock, lines):
    with progress.LogLines().step("x", 4) as advance:
        clock[0] += 9.9
        advance()
        assert lines() == ["x: 4"]
        clock[0] += 0.1
        advance()
    assert lines() == ["x: 4", "x: 2 of 4, 10 s left"]


def test_lines_are_below_what_quiet_shows(clock, lines, caplog):
    caplog.set_level(logging.WARNING, "collab_asd.progress")
    with progress.LogLines().step("x", 2) as advance:
        clock[0] += 20
        advance()
    assert lines() == []


def test_steps_go_to_the_display_that_was_set(monkeypatch):
    monkeypatch.setattr(progress, "_display", progress.LogLines())
    seen = []

    class Recorder:
        @contextmanager
        def step(self, what, total):
            seen.append((what, total))
            yield lambda: seen.append("advance")
            seen.append("end")

    progress.show_on(Recorder())
    with progress.step("embedding clips", 3) as advance:
        advance()
    assert seen == [("embedding clips", 3), "advance", "end"]


def test_what_breaks_within_a_step_is_not_swallowed(lines):
    with pytest.raises(ZeroDivisionError), progress.LogLines().step("x", 1):
        raise ZeroDivisionError


def test_many_short_steps_need_not_be_announced(clock, lines):
    with progress.LogLines(announce=False).step("embedding clips", 2) as advance:
        clock[0] += 12
        advance()
    assert lines() == ["embedding clips: 1 of 2, 12 s left"]
