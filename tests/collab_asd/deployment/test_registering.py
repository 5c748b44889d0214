"""The SuperLink's list of SuperNodes follows `nodes/`, whatever was lost on the way; who was left out of a run."""

import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from collab_asd.core.errors import InputError
from collab_asd.core.schemas import RESULTS
from collab_asd.deployment import flower
from collab_asd.deployment.flower import left_out, register_nodes, registered
from collab_asd.deployment.probe_server import Answer
from collab_asd.deployment.settings import ServerSettings


@pytest.fixture
def superlink(monkeypatch):
    """Node ID -> public key, as a SuperLink has them; as in Flower, one that is unregistered stays in use."""
    keys, numbers, gone = {}, count(100), []

    def flwr(server, _, command, *arguments):
        if command == "list":
            listed = [{"node-id": node, "status": "registered"} for node in keys]
            return {"nodes": [*listed, *({"node-id": f"old {i}", "status": "unregistered"} for i in range(len(gone)))]}
        if command == "unregister":
            gone.append(keys.pop(arguments[0]))
            return {}
        key = " ".join(Path(arguments[0]).read_text().split()[:2])
        if key in [*keys.values(), *gone]:
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
        (tmp_path / "nodes" / f"{name}.pub").write_text(f"key of-{name}")
    return ServerSettings(tmp_path, "localhost", 1)


@pytest.mark.parametrize(
    ("silent", "up", "says"),
    [({"client-0": 9.0}, 900.0, "connected"), ({"client-0": 900.0}, 950.0, "silent for 900 s"), ({}, 9.0, "connected"),
     ({}, 900.0, "silent for 900 s")],
)  # fmt: skip
def test_status_tells_a_node_that_flower_counts_and_that_says_nothing(monkeypatch, server, silent, up, says):
    """As all do while the server's clock is set back."""
    register = {"key": {"name": "client-0", "node-id": "7"}, "other": {"name": "client-1", "node-id": "8"}}
    flower.nodes_file(server).parent.mkdir()
    flower.nodes_file(server).write_text(json.dumps(register))
    nodes = [{"node-id": "7", "status": "online"}, {"node-id": "8", "status": "offline"}]
    monkeypatch.setattr(flower, "flwr", lambda *_: {"nodes": nodes})
    monkeypatch.setattr(flower, "is_open", lambda *_: True)
    monkeypatch.setattr(flower, "ask", lambda *_: Answer(datetime.now(UTC), 0.0, "", silent, up))
    _, first, second = flower.status(server)
    assert first.startswith(f"client-0: {says}")
    assert second.startswith("client-1: not connected now")


def names(server):
    return {node["name"]: node["node-id"] for node in registered(server).values()}


def test_keys_come_and_go(superlink, server):
    register_nodes(server)
    assert set(superlink.values()) == {"key of-client-0", "key of-client-1"}
    (server.folder / "nodes" / "client-0.pub").unlink()
    register_nodes(server)
    assert list(superlink.values()) == ["key of-client-1"]
    assert set(names(server)) == {"client-1"}


def test_node_whose_registration_was_answered_to_nobody_is_known_again(superlink, server):
    register_nodes(server)
    before = names(server)
    known = registered(server)
    flower.nodes_file(server).write_text(json.dumps({k: n for k, n in known.items() if n["name"] == "client-1"}))
    register_nodes(server)
    assert names(server) == before


def test_another_comment_makes_no_other_key(superlink, server):
    register_nodes(server)
    before = names(server)
    (server.folder / "nodes" / "client-0.pub").write_text("key of-client-0 of the press shop\n")
    register_nodes(server)
    assert names(server) == before
    assert set(superlink) == set(before.values())


def test_keys_that_were_swapped_get_their_right_names(superlink, server):
    folder = server.folder / "nodes"
    one, other = (folder / f"client-{i}.pub" for i in (0, 1))
    one.write_text("key of-client-1")
    other.write_text("key of-client-0")
    register_nodes(server)
    one.write_text("key of-client-0")
    other.write_text("key of-client-1")
    register_nodes(server)
    assert {superlink[node]: name for name, node in names(server).items()} == {
        "key of-client-0": "client-0",
        "key of-client-1": "client-1",
    }


def test_a_key_that_was_taken_out_and_comes_back_is_refused_in_words_and_holds_up_no_other(superlink, server):
    register_nodes(server)
    path = server.folder / "nodes" / "client-0.pub"
    path.unlink()
    register_nodes(server)
    path.write_text("key of-client-0")
    (server.folder / "nodes" / "client-2.pub").write_text("key of-client-2")
    for _ in range(2):
        with pytest.raises(InputError, match=r"client-0\.pub: .*deploy key"):
            register_nodes(server)
        assert set(names(server)) == {"client-1", "client-2"}
    path.write_text("another-key of-client-0")
    register_nodes(server)
    assert set(names(server)) == {"client-0", "client-1", "client-2"}


def test_who_was_left_out_of_a_run_is_told_on_one_line_each(tmp_path):
    excluded = {"2": "was not connected", "4": "bad\nnews"}
    (tmp_path / "summary.json").write_text(json.dumps({**RESULTS.stamp, "excluded": excluded}), encoding="utf-8")
    first, second = left_out(tmp_path)
    assert first.startswith("client 2 ")
    assert "was not connected" in first
    assert second.startswith("client 4 ")
    assert "\n" not in second
