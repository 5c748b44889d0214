"""What reaches stderr: plain lines, or bars in a terminal, or nothing but warnings."""

import gc
import io
import logging
import re
import subprocess
import sys
import time
import weakref

import pytest
from flwr.app import Context, Message, RecordDict
from rich.console import Console

from collab_asd.core import progress
from collab_asd.core.errors import InputError
from collab_asd.core.progress import bars, collected_warnings, show_progress
from collab_asd.federation.flwr_compat import TaskIdentity, set_message_id
from simulations.client_app import keep_errors_private

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


def watched(seconds):
    """Work that lasts so long on a clock of its own."""
    with progress.step("embedding clips", 2):
        begun = time.monotonic()
        progress.line_written(begun)
        progress.Lines().tick(begun + seconds, progress._steps)


def test_plain_lines_with_the_time_where_stderr_is_no_terminal(capsys):
    show_progress(console=Console(stderr=True))
    work()
    watched(60)
    out, err = capsys.readouterr()
    assert out == ""
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in err.splitlines()] == [
        "[half] of client 1",
        "embedding clips: 0 of 2 after 60 s",
    ]
    assert err.endswith("\n")
    assert "\x1b" not in err
    assert "\r" not in err


def test_a_line_breaks_the_silence(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_last_line", 0.0)
    show_progress(console=Console(stderr=True))
    progress.line_written(0.0)
    logging.getLogger("collab_asd.somewhere").info("a line")
    assert progress._last_line > 0


def test_bars_in_a_terminal_and_lines_above_them(capsys):
    console = terminal()
    show_progress(console=console)
    work()
    shown = plain(console.file.getvalue())
    assert "embedding clips" in shown
    assert re.search(r"\r\d\d:\d\d:\d\d \[half\] of client 1\n", shown)
    assert "embedding clips: " not in shown  # the bar says it
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_gone_when_its_step_has_ended():
    console = terminal()
    show_progress(console=console)
    work()
    erased = console.file.getvalue()
    assert erased.rindex("\x1b[2K") > erased.rindex("embedding clips")  # its line was cleared last of all


def test_bars_are_gone_when_a_step_breaks():
    show_progress(console=terminal())
    with pytest.raises(ZeroDivisionError), progress.step("first", 1):
        raise ZeroDivisionError
    with progress.step("second", 1) as advance:  # rich shows one display at a time
        advance()


def test_a_bar_shows_how_much_is_done_and_what_is_left():
    console, now = terminal(), time.monotonic()
    even, waiting = progress.Step("embedding clips", 100, even=True), progress.Step("waiting")
    even.began -= 20
    waiting.began = now - 70
    even._pace = progress.Pace(100, now - 20)
    for part in range(20):
        even.done += 1
        even._pace.note(now - 19 + part, 1)
    console.print(bars([even, waiting]))
    first, second = plain(console.file.getvalue()).splitlines()
    assert re.fullmatch(r"embedding clips ━+\S* ?━* +20 of 100 +about 8\d s left *", first)
    assert re.fullmatch(r"waiting +━+ +70 s *", second)


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
    for room in ("collab_asd.data.audio", "baselines.local.knn", "collab_asd.federation.engines"):
        logging.getLogger(room).info("from %s", room)
    assert capsys.readouterr().err.count("from ") == 3


def test_a_step_within_a_counted_one_has_its_bar_below():
    console = terminal()
    steps = [progress.Step("comparing"), progress.Step("cells", 2, done=1), progress.Step("clips", 3)]
    for step in steps:
        step.began -= 5
    console.print(bars(steps))
    assert re.fullmatch(r"cells [^\n]* 1 of 2 [^\n]*\nclips [^\n]* 0 of 3 [^\n]*\n", plain(console.file.getvalue()))


def test_warnings_are_collected_wherever_else_they_are_said(capsys):
    show_progress(logging.INFO)
    with collected_warnings() as said:
        logging.getLogger("collab_asd.data").warning("clip %d is short", 7)
        logging.getLogger("baselines.local").info("all is well")
        logging.getLogger("elsewhere").warning("not ours")
    logging.getLogger("simulations.x").warning("too late")
    assert said == ["clip 7 is short"]
    assert "clip 7 is short" in capsys.readouterr().err


def test_flowers_log_is_left_out_although_flower_is_imported_later():
    code = (
        "import logging; from collab_asd.core.progress import leave_out_flowers_log; leave_out_flowers_log()\n"
        "import flwr.serverapp; log = logging.getLogger('flwr'); log.info('[ROUND 1/1]'); log.warning('stopped')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    assert "stopped" in said
    assert "ROUND" not in said


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (InputError("cannot be scored"), "^client 1: cannot be scored$"),
        (KeyError("unforeseen"), "(?s)^client 1: Traceback .* in score\n.*KeyError: 'unforeseen'$"),
    ],
)
def test_a_kept_log_record_keeps_no_recordings(error, says):
    """A process that keeps its records, as test runners and error trackers do, grew with each question asked again."""

    class Recordings:
        pass

    def score(message, context):
        recordings = Recordings()
        held.append(weakref.ref(recordings))
        raise error

    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 7, 1, 1
    held, records = [], []
    keeper = logging.Handler()
    keeper.emit = records.append
    logger = logging.getLogger("simulations.client_app")
    logger.addHandler(keeper)
    try:
        node = {"partition-id": 1, "num-partitions": 2}
        message = Message(RecordDict(), 5, "evaluate.score")
        set_message_id(message, "1")
        reply = keep_errors_private(message, Context(1, 5, node, RecordDict(), {}), score)
    finally:
        logger.removeHandler(keeper)
    error.__traceback__ = None  # this test's own
    gc.collect()
    assert reply.has_error()
    (record,) = records
    assert re.search(says, record.getMessage().strip())
    assert held[0]() is None
