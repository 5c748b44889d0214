"""A result folder has one run at a time, whoever else would like to see to it."""

import threading
import time

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import exclusive_lock, is_locked
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


def test_second_one_waits_for_the_first(server, submitted, monkeypatch, tmp_path, caplog):
    out, began = tmp_path / "out", threading.Event()

    def submit(*arguments):
        submitted.append(arguments)
        began.set()
        time.sleep(0.5)
        out.mkdir()
        finish(out)
        return []

    monkeypatch.setattr(running, "submit", submit)
    results = []
    first = threading.Thread(target=lambda: results.append(run(server, out, {}, lambda line: None)))
    first.start()
    began.wait(30)
    results.append(run(server, out, {}, lambda line: None))
    first.join()
    assert results == [out, out]
    assert len(submitted) == 1
    assert "another process sees to this run" in caplog.text


def test_folder_is_locked_while_somebody_works_there(tmp_path):
    assert not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with exclusive_lock(tmp_path / "a", "run"):
        assert is_locked(tmp_path / "a")
        with pytest.raises(InputError, match="another process is at work"), exclusive_lock(tmp_path / "a", "run"):
            pass
        (tmp_path / "a" / "kept").touch()
    assert not is_locked(tmp_path / "a")
