import asyncio
import logging
import os
import signal
import subprocess
import sys
from importlib import import_module

import psutil
import pytest
import uvicorn

from collab_asd.deployment.connections import HEAD_BYTES
from collab_asd.deployment.gate import Gate
from collab_asd.deployment.superlink import guard, leave_out_probes
from collab_asd.federation.flwr_compat import TASK_STATE, let_server_apps_start_within


def test_a_server_app_may_take_minutes_to_start_and_is_missed_as_soon_as_before(monkeypatch):
    state = import_module(TASK_STATE)
    interval, patience = state.HEARTBEAT_DEFAULT_INTERVAL, state.HEARTBEAT_PATIENCE
    monkeypatch.setattr(state, "HEARTBEAT_DEFAULT_INTERVAL", interval)
    monkeypatch.setattr(state, "HEARTBEAT_PATIENCE", patience)
    let_server_apps_start_within(300)
    missed_after = state.HEARTBEAT_DEFAULT_INTERVAL * state.HEARTBEAT_PATIENCE
    assert (state.HEARTBEAT_DEFAULT_INTERVAL, missed_after) == (300, pytest.approx(interval * patience))


def test_probes_are_not_in_the_log(caplog):
    access = logging.getLogger("uvicorn.access")
    before = list(access.filters)
    leave_out_probes()
    try:
        with caplog.at_level(logging.INFO, "uvicorn.access"):
            for path in ("/", "/other"):
                access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", path, "1.1", 200)
            access.info("started")
    finally:
        access.filters[:] = before
    assert caplog.messages == ['127.0.0.1:1 - "GET /other HTTP/1.1" 200', "started"]


def test_whatever_listens_is_behind_the_gate(monkeypatch):
    monkeypatch.setattr(uvicorn.Config, "load", uvicorn.Config.load)
    monkeypatch.setattr(uvicorn.Config, "get_loop_factory", uvicorn.Config.get_loop_factory)
    guard(1, lambda key: "client-0")
    config = uvicorn.Config(lambda scope, receive, send: None, interface="asgi3", proxy_headers=True)
    config.load()
    assert isinstance(config.loaded_app, Gate)
    assert config.h11_max_incomplete_event_size == HEAD_BYTES
    assert config.ws_protocol_class is None
    assert config.get_loop_factory() is asyncio.SelectorEventLoop


SERVER = """
import psutil, subprocess, sys
from collab_asd.deployment import superlink

superlink.SUPEREXEC_PAUSE = 0.1
assert superlink.own_superexec() is None
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
superexec = subprocess.Popen([sys.executable, sys.argv[1], "--of-this-server"])
while (found := superlink.own_superexec()) is None or found.pid != superexec.pid:
    pass
print("found", flush=True)
superlink.keep_running(found)
"""
SUPEREXEC = """
import os, sys, time

time.sleep(1)
print(os.getpid(), *sys.argv[1:], flush=True)
time.sleep(60)
"""


def test_a_superexec_that_ends_is_started_again(tmp_path):
    (tmp_path / "flower-superexec").write_text(SUPEREXEC, encoding="utf-8")
    (tmp_path / "server.py").write_text(SERVER, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "server.py"), str(tmp_path / "flower-superexec")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert {server.stdout.readline() for _ in range(2)} >= {"found\n"}
            for _ in range(2):
                (pid,) = [c.pid for c in psutil.Process(server.pid).children() if "--of-this-server" in c.cmdline()]
                os.kill(pid, signal.SIGKILL)
                assert server.stdout.readline().endswith(" --of-this-server\n")
        finally:
            children = psutil.Process(server.pid).children()
            for process in (server, *children):
                process.kill()
        assert server.stderr.read().count("another is started") == 2
