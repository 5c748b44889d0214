import ssl

import uvicorn

from collab_asd.deployment.gate import Gate
from collab_asd.deployment.superlink import NotedHandshake, guard


def test_whatever_listens_is_behind_the_gate(monkeypatch):
    monkeypatch.setattr(uvicorn.Config, "load", uvicorn.Config.load)
    monkeypatch.setattr(ssl.SSLContext, "sslobject_class", ssl.SSLObject)
    guard(largest_reply=1)
    config = uvicorn.Config(lambda scope, receive, send: None, interface="asgi3", proxy_headers=True)
    config.load()
    assert isinstance(config.loaded_app, Gate)
    assert ssl.SSLContext.sslobject_class is NotedHandshake
