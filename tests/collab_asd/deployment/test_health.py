import os

import pytest

from collab_asd.core.errors import InputError
from collab_asd.deployment import health
from collab_asd.deployment.health import NodeHealth, ServerHealth


@pytest.fixture
def server(monkeypatch):
    """Whether it answers, and the time."""
    state = {"answers": True, "now": 0.0}

    def ask(superlink, authority, seconds):
        if not state["answers"]:
            raise InputError(f"{superlink}: cannot be reached")

    monkeypatch.setattr(health, "ask", ask)
    return state


def watched(tmp_path, server):
    """A SuperNode that has just exchanged something, and what touches its file."""
    file = tmp_path / "exchange"
    node = NodeHealth(file, "host:1", tmp_path / "ca.crt", clock=lambda: server["now"])
    node.wait_for_server()

    def exchange(stamp=None):
        file.touch()
        if stamp is not None:
            os.utime(file, (stamp, stamp))
        assert node.illness() is None

    return node, exchange


def test_node_that_exchanges_is_well_whatever_the_time_of_day(tmp_path, server):
    node, exchange = watched(tmp_path, server)
    for stamp in (2e9, 1e9, 1.5e9):  # the clock is set back and forth
        exchange(stamp)
        server["now"] += 40
        assert node.illness() is None


def test_it_is_said_when_a_node_is_connected(tmp_path, server, caplog):
    with caplog.at_level("INFO"):
        node, exchange = watched(tmp_path, server)
        assert "connected" not in caplog.text
        for stamp in (1e9, 2e9):
            exchange(stamp)
        node.wait_for_server()
        exchange(3e9)
    assert caplog.text.count("connected to host:1") == 2


def test_node_that_a_server_answers_no_more_starts_again(tmp_path, server):
    node, exchange = watched(tmp_path, server)
    exchange()
    server["answers"] = False
    for _ in range(20):
        server["now"] += 5
        assert node.illness() is None  # in vain while the server is away
    server["answers"] = True
    back, said = server["now"], None
    while said is None:
        server["now"] += 5
        said = node.illness()
    assert server["now"] - back < 30
    assert "exchanged nothing with host:1" in said


def test_node_that_comes_back_by_itself_is_left_alone(tmp_path, server):
    node, exchange = watched(tmp_path, server)
    exchange()
    server["now"] += 100
    assert node.illness() is None
    exchange(1e9)
    server["now"] += 15
    assert node.illness() is None


def test_start_may_take_longer_than_silence(tmp_path, server):
    node, _ = watched(tmp_path, server)
    server["now"] += 100
    assert node.illness() is None
    server["now"] += 200
    assert node.illness() is None  # the server is asked first
    server["now"] += 20
    assert node.illness() is not None


def test_node_waits_for_its_server(tmp_path, server, monkeypatch, caplog):
    server["answers"] = False
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        server["answers"] = len(pauses) == 3

    monkeypatch.setattr(health.time, "sleep", sleep)
    watched(tmp_path, server)
    assert len(pauses) == 3
    assert [record.levelname for record in caplog.records if "waiting" in record.message] == ["WARNING"]


def test_superlink_that_answers_nothing_for_long_starts_again(tmp_path, server):
    link = ServerHealth("127.0.0.1:1", tmp_path, clock=lambda: server["now"])
    link.begin()
    server["answers"] = False
    assert link.illness() is None
    server["now"] += 170
    assert link.illness() is None
    server["now"] += 20
    assert "answered nothing" in link.illness()
    link.begin()
    assert link.illness() is None


def test_superlink_whose_certificate_has_expired_goes_on(tmp_path, monkeypatch):
    """A person has to look: starting again changes nothing."""

    def ask(*_):
        raise InputError("certificate has expired") from health.ssl.SSLCertVerificationError()

    monkeypatch.setattr(health, "ask", ask)
    now = [0.0]
    link = ServerHealth("127.0.0.1:1", tmp_path, clock=lambda: now[0])
    for _ in range(10):
        now[0] += 100
        assert link.illness() is None
