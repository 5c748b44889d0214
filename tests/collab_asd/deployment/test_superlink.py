import asyncio
import logging
from importlib import import_module

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
