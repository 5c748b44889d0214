"""What reaches stderr: plain lines, or bars in a terminal, or nothing but warnings."""

import io
import logging
import re

import pytest
from rich.console import Console

from collab_asd import progress
from simulations.logs import Bars, collected_warnings, show_progress

pytestmark = pytest.mark.usefixtures("fresh_process")


def terminal():
    return Console(force_terminal=True, file=io.StringIO(), width=80)


def plain(text):
    """Text without the codes that move and colour."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def work():
    with progress.step("embedding clips", 2) as advance:
        logging.getLogger("collab_asd.somewhere").info("[half] of client 1")
        advance()
        advance()


def test_plain_lines_with_the_time_where_stderr_is_no_terminal(capsys):
    show_progress(console=Console(stderr=True))
    work()
    out, err = capsys.readouterr()
    assert out == ""
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in err.splitlines()] == [
        "embedding clips: 2",
        "[half] of client 1",
    ]
    assert "\x1b" not in err


def test_bars_in_a_terminal_and_lines_above_them(capsys):
    console = terminal()
    show_progress(console=console)
    work()
    shown = plain(console.file.getvalue())
    assert "embedding clips" in shown
    assert "2/2" in shown
    assert re.search(r"\r\d\d:\d\d:\d\d \[half\] of client 1\n", shown)
    assert "embedding clips: 2" not in shown  # the bar says it
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_gone_when_its_step_has_ended():
    console = terminal()
    show_progress(console=console)
    work()
    erased = console.file.getvalue()
    assert erased.rindex("\x1b[2K") > erased.rindex("embedding clips")  # its line was cleared last of all


def test_a_bar_is_gone_when_its_step_breaks():
    bars = Bars(terminal())
    with pytest.raises(ZeroDivisionError), bars.step("first", 1):
        raise ZeroDivisionError
    with bars.step("second", 1) as advance:  # rich shows one display at a time
        advance()


@pytest.mark.parametrize("console", [None, terminal()])
def test_quiet_shows_neither_lines_nor_bars(capsys, console):
    show_progress(logging.WARNING, console)
    work()
    logging.getLogger("baselines.local").warning("something is wrong")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d\d:\d\d:\d\d something is wrong\n", err)
    assert console is None or console.file.getvalue() == ""


def test_a_second_call_doubles_no_line(capsys):
    show_progress()
    show_progress()
    logging.getLogger("simulations.x").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_a_second_call_does_not_undo_quiet(capsys):
    """In process, the ClientApp and the ServerApp call `show_progress` after the command line did."""
    show_progress(logging.WARNING)
    show_progress()
    work()
    assert capsys.readouterr().err == ""


def test_lines_of_others_are_left_to_them(capsys):
    show_progress()
    logging.getLogger("elsewhere").info("not ours")
    assert "not ours" not in capsys.readouterr().err


def test_all_rooms_of_the_project_are_heard(capsys):
    show_progress()
    for room in ("collab_asd.data.audio", "baselines.local.knn", "simulations.engines"):
        logging.getLogger(room).info("from %s", room)
    assert capsys.readouterr().err.count("from ") == 3


def test_a_step_within_a_step_has_its_bar_below():
    console = terminal()
    bars = Bars(console)
    with bars.step("cells", 2) as outer:
        for _ in range(2):
            with bars.step("clips", 3) as inner:
                inner()
                console.print("between")
            outer()
    shown = plain(console.file.getvalue())
    assert re.search(r"cells [^\n]* 0/2 [^\n]*\nclips [^\n]* 0/3 ", shown)
    assert "2/2" in shown


def test_warnings_are_collected_wherever_else_they_are_said(capsys):
    show_progress(logging.INFO)
    with collected_warnings() as said:
        logging.getLogger("collab_asd.data").warning("clip %d is short", 7)
        logging.getLogger("baselines.local").info("all is well")
        logging.getLogger("elsewhere").warning("not ours")
    logging.getLogger("simulations.x").warning("too late")
    assert said == ["clip 7 is short"]
    assert "clip 7 is short" in capsys.readouterr().err
