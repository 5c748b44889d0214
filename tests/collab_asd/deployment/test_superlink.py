import asyncio

import uvicorn

from collab_asd.deployment.connections import HEAD_BYTES
from collab_asd.deployment.gate import Gate
from collab_asd.deployment.superlink import guard


def test_whatever_listens_is_behind_the_gate(monkeypatch):
    monkeypatch.setattr(uvicorn.Config, "load", uvicorn.Config.load)
    monkeypatch.setattr(uvicorn.Config, "get_loop_factory", uvicorn.Config.get_loop_factory)
    guard(1, lambda key: True)
    config = uvicorn.Config(lambda scope, receive, send: None, interface="asgi3", proxy_headers=True)
    config.load()
    assert isinstance(config.loaded_app, Gate)
    assert config.h11_max_incomplete_event_size == HEAD_BYTES
    assert config.ws_protocol_class is None
    assert config.get_loop_factory() is asyncio.SelectorEventLoop
