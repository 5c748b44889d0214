"""Runs that were killed, and taken up again."""

import contextlib
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import psutil
import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import exclusive_lock
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import DESCRIBE, EMBEDDINGS, SCORE
from collab_asd.methods.embedding_sharing import strategy
from simulations import client_app, server_app

PAGES = 4 * 3  # each client's 12 clips, 50 kB each, four to a page


@pytest.fixture
def config(many_machines, cache, tmp_path):
    return RunConfig(
        data_dir=str(many_machines), cache_dir=str(cache), results_dir=str(tmp_path / "run"), encoder="logmel",
        epochs=1, report=False, codec="fp32", page_megabytes=0.26,
    )  # fmt: skip


class Killed(BaseException):
    """What no code catches."""


class Counting(InProcessGrid):
    """Counts what is asked for, and is killed after so many messages of a kind."""

    def __init__(self, config, kind="", after=0):
        super().__init__(client_app.app, 4, config.to_mapping())
        self.asked, self.kind, self.after = Counter(), kind, after

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        for message in messages:
            if message.metadata.message_type == self.kind and self.asked[self.kind] == self.after:
                raise Killed
            self.asked[message.metadata.message_type] += 1
            replies += super().send_and_receive([message], timeout=timeout)
        return replies


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    """Scores of a run that nobody has killed; each is run once."""
    found = {}

    def run(config):
        key = replace(config, results_dir="")
        if key not in found:
            folder = tmp_path_factory.mktemp("runs") / "unbroken"
            found[key] = (run_inprocess(replace(config, results_dir=str(folder)), 4) / "scores.csv").read_bytes()
        return found[key]

    return run


@pytest.mark.parametrize("codec", ["fp32", "pool:2+pca:99+fp16"])
@pytest.mark.parametrize(("kind", "after"), [(DESCRIBE, 2), (EMBEDDINGS, 1), (EMBEDDINGS, 8), (SCORE, 0), (SCORE, 3)])
def test_a_killed_run_asks_for_what_is_missing_and_ends_as_if_unbroken(config, tmp_path, unbroken, codec, kind, after):
    config = replace(config, codec=codec, page_megabytes=0.26 if codec == "fp32" else 0.052)
    killed = Counting(config, kind, after)
    with pytest.raises(Killed):
        server_app.run(killed, config, engine="inprocess")
    stored = len(list((tmp_path / "run" / "server" / "store").glob("client-*.json")))
    again = Counting(config)
    folder = server_app.run(again, config, engine="inprocess")
    assert killed.asked[EMBEDDINGS] - 8 < stored <= killed.asked[EMBEDDINGS]  # a wave is eight messages
    assert stored + again.asked[EMBEDDINGS] == PAGES
    assert (folder / "scores.csv").read_bytes() == unbroken(config)
    assert not (folder / "server" / "store").exists()


def test_a_server_that_dies_in_training_has_all_it_needs(config, unbroken, monkeypatch):
    def killed(*_):
        raise Killed

    config = replace(config, seed=77)  # not trained before
    with monkeypatch.context() as patched:
        patched.setattr(strategy.EmbeddingSharing, "_train", killed)
        with pytest.raises(Killed):
            run_inprocess(config, 4)
    again = Counting(config)
    folder = server_app.run(again, config, engine="inprocess")
    assert again.asked[EMBEDDINGS] == 0
    assert (folder / "scores.csv").read_bytes() == unbroken(config)


def test_two_processes_cannot_write_one_result(config, tmp_path):
    at_work = pytest.raises(InputError, match="another process is at work on this run")
    with exclusive_lock(tmp_path / "run", "run"), at_work:
        run_inprocess(config, 4)


def stored_page(folder, cache):
    return any((folder / "server" / "store").glob("client-*.json"))


def trained(folder, cache):
    return any((cache / "classifiers").glob("*.safetensors"))


@pytest.mark.slow
def test_kill_9_at_two_moments_of_flwr_run(config, tmp_path, unbroken):
    expected, cache = unbroken(config), tmp_path / "cache"
    for moment in (stored_page, trained):
        with Begun(config, cache) as process:
            wait_until(lambda moment=moment: moment(tmp_path / "run", cache), process)
    assert not (tmp_path / "run" / "summary.json").exists()
    subprocess.run(command(config, cache), check=True, capture_output=True, timeout=300)
    assert (tmp_path / "run" / "scores.csv").read_bytes() == expected


class Begun:
    """A run in a process tree of its own, which is killed at the end, all of it at once."""

    def __init__(self, config, cache):
        self.process = subprocess.Popen(command(config, cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        root = psutil.Process(self.process.pid)
        for act in (psutil.Process.suspend, psutil.Process.kill):
            for member in [*root.children(recursive=True), root]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    act(member)
        self.process.wait()


def command(config, cache):
    values = config.to_mapping() | {"cache-dir": str(cache)}
    chosen = ("encoder", "epochs", "codec", "page-megabytes", "report", "cache-dir")
    words = [
        word
        for key in chosen
        for word in ("--set", f"{key}={str(values[key]).lower() if key == 'report' else values[key]}")
    ]
    return [sys.executable, "-m", "collab_asd.cli.main", "run", "--engine", "ray", "--data", config.data_dir,
            "--out", config.results_dir, *words]  # fmt: skip


def wait_until(reached, process, seconds=500):
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
