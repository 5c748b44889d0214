"""The SuperLink's list of SuperNodes follows `nodes/`, whatever was lost on the way."""

import json
from itertools import count
from pathlib import Path

import pytest

from collab_asd.core.errors import InputError
from collab_asd.deployment import flower
from collab_asd.deployment.flower import register_nodes, registered
from collab_asd.deployment.settings import ServerSettings


@pytest.fixture
def superlink(monkeypatch):
    """Node ID -> public key, as a SuperLink has them; and a server."""
    keys, numbers = {}, count(100)

    def flwr(server, _, command, *arguments):
        if command == "list":
            return {"nodes": [{"node-id": node, "status": "registered"} for node in keys]}
        if command == "unregister":
            del keys[arguments[0]]
            return {}
        key = Path(arguments[0]).read_text()
        if key in keys.values():
            raise InputError("[code: 23] Public key already in use.")
        node = str(next(numbers))
        keys[node] = key
        return {"node-id": node}

    monkeypatch.setattr(flower, "flwr", flwr)
    return keys


@pytest.fixture
def server(tmp_path):
    (tmp_path / "nodes").mkdir()
    for name in ("client-0", "client-1"):
        (tmp_path / "nodes" / f"{name}.pub").write_text(f"key of {name}")
    return ServerSettings(tmp_path, "localhost", 1)


def names(server):
    return {node["name"]: node["node-id"] for node in registered(server).values()}


def test_keys_come_and_go(superlink, server):
    register_nodes(server)
    assert set(superlink.values()) == {"key of client-0", "key of client-1"}
    (server.folder / "nodes" / "client-0.pub").unlink()
    register_nodes(server)
    assert list(superlink.values()) == ["key of client-1"]
    assert set(names(server)) == {"client-1"}


def test_node_whose_registration_was_answered_to_nobody_is_registered_anew(superlink, server):
    register_nodes(server)
    of_client_1 = names(server)["client-1"]
    known = registered(server)
    flower.nodes_file(server).write_text(json.dumps({k: n for k, n in known.items() if n["name"] == "client-1"}))
    register_nodes(server)
    assert set(names(server)) == {"client-0", "client-1"}
    assert names(server)["client-1"] == of_client_1
    assert {superlink[node] for node in names(server).values()} == {"key of client-0", "key of client-1"}
