"""A server has one run at a time, whoever else would like to see to one."""

import json
import threading
import time
from pathlib import Path

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import exclusive_lock, is_locked
from collab_asd.deployment import flower
from collab_asd.deployment import run as running
from collab_asd.deployment.consortium import Consortium
from collab_asd.deployment.run import run
from collab_asd.deployment.settings import ServerSettings


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("owner") / "c"
    Consortium(2, ["localhost"], RunConfig(encoder="logmel")).write(folder)
    return ServerSettings.load(folder / "server")


@pytest.fixture
def submitted(monkeypatch):
    """What is submitted to a SuperLink that listens, and does nothing by itself."""
    calls = []
    monkeypatch.setattr(running, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(running, "_wait_for_superlink", lambda server: None)
    monkeypatch.setattr(running, "submit", lambda *arguments: calls.append(arguments) or [])
    return calls


def finish(out):
    (out / "summary.json").write_text("{}")


def test_run_of_a_killed_superlink_is_waited_for(server, submitted, monkeypatch, tmp_path, caplog):
    out, works, ends = tmp_path / "out", threading.Event(), threading.Event()

    def server_app():
        with exclusive_lock(out, "run"):
            works.set()
            ends.wait(30)
            finish(out)

    def submit(*arguments):
        """The SuperLink is killed while the ServerApp works."""
        submitted.append(arguments)
        orphan.start()
        works.wait(30)
        threading.Timer(0.5, ends.set).start()
        return ["connection lost"]

    orphan = threading.Thread(target=server_app)
    monkeypatch.setattr(running, "submit", submit)
    assert run(server, out, {}, lambda line: None) == out
    orphan.join()
    assert len(submitted) == 1
    assert "the run goes on" in caplog.text


@pytest.mark.parametrize("second", ["out", "another"])
def test_second_one_waits_for_the_first(server, submitted, monkeypatch, tmp_path, caplog, second):
    """Also with a folder of its own, or the first one's ServerApp would read where the second one's results go."""
    began, told = threading.Event(), []

    def submit(*arguments):
        submitted.append(arguments)
        began.set()
        time.sleep(0.5)
        told.append(Path(json.loads(running.own_keys_file(server).read_bytes())["results-dir"]))
        told[-1].mkdir()
        finish(told[-1])
        return []

    monkeypatch.setattr(running, "submit", submit)
    out, results = tmp_path / "out", []
    first = threading.Thread(target=lambda: results.append(run(server, out, {}, lambda line: None)))
    first.start()
    began.wait(30)
    results.append(run(server, tmp_path / second, {}, lambda line: None))
    first.join()
    assert sorted(results) == sorted([out, tmp_path / second])
    assert told == list(dict.fromkeys([out, tmp_path / second]))
    assert "another process sees to a run" in caplog.text


@pytest.mark.parametrize(("status", "stopped"), [("pending", True), ("starting", True), ("running", False)])
def test_a_run_that_has_not_begun_is_stopped_before_another_is_submitted(
    server, monkeypatch, tmp_path, status, stopped
):
    """Each would start a ServerApp again and again: once six had piled up, they took all of a machine."""
    asked, note = [], tmp_path / "submitted"

    def flwr(server, *arguments):
        asked.append(arguments)
        return {"runs": [{"run-id": "17", "status": status}]}

    monkeypatch.setattr(flower, "flwr", flwr)
    flower.stop_unbegun(server, note)
    assert not asked
    note.write_text("17")
    flower.stop_unbegun(server, note)
    assert asked == [("list", "--run-id", "17"), *([("stop", "17")] if stopped else [])]
    assert not note.exists()


def test_a_superlink_that_does_not_know_the_run_stands_in_nobodys_way(server, monkeypatch, tmp_path, caplog):
    def flwr(server, *arguments):
        raise InputError("flwr list: run 17 does not exist")

    monkeypatch.setattr(flower, "flwr", flwr)
    (tmp_path / "submitted").write_text("17")
    flower.stop_unbegun(server, tmp_path / "submitted")
    assert "run 17 does not exist" in caplog.text
    assert not (tmp_path / "submitted").exists()


def test_the_number_of_a_run_is_noted(server, monkeypatch, tmp_path):
    def run_streaming(command, folder, environment, on_line):
        on_line("Successfully started run 17 in federation 18")
        return []

    lines = []
    monkeypatch.setattr(flower, "run_streaming", run_streaming)
    flower.submit(server, tmp_path, tmp_path / "submitted", lines.append)
    assert (tmp_path / "submitted").read_text() == "17"
    assert lines == ["Successfully started run 17 in federation 18"]


def test_folder_is_locked_while_somebody_works_there(tmp_path):
    assert not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with exclusive_lock(tmp_path / "a", "run"):
        assert is_locked(tmp_path / "a")
        with pytest.raises(InputError, match="another process is at work"), exclusive_lock(tmp_path / "a", "run"):
            pass
        (tmp_path / "a" / "kept").touch()
    assert not is_locked(tmp_path / "a")
