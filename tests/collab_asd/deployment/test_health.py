import os
from datetime import UTC, datetime

import pytest

from collab_asd.core.errors import InputError
from collab_asd.deployment import health
from collab_asd.deployment.certificates import make_node_key
from collab_asd.deployment.health import NodeHealth, ServerHealth
from collab_asd.deployment.probe_server import Answer
from collab_asd.deployment.processes import exchange_file
from collab_asd.deployment.settings import NodeSettings


@pytest.fixture
def server(monkeypatch):
    """Whether it answers, the time, and what it says: by how much this clock is ahead, and whose key it has."""
    state = {"answers": True, "now": 0.0, "ahead": 0.0, "name": "client-0"}

    def ask(superlink, authority, seconds, key=None):
        if not state["answers"]:
            raise InputError(f"{superlink}: cannot be reached")
        return Answer(datetime.now(UTC), state["ahead"], state["name"])

    monkeypatch.setattr(health, "ask", ask)
    return state


def watched(tmp_path, server):
    """A SuperNode that has just exchanged something, and what touches its file."""
    make_node_key(tmp_path)
    settings = NodeSettings(tmp_path, "host:1", 0, 2)
    file = exchange_file(settings)
    file.parent.mkdir()
    node = NodeHealth(settings, clock=lambda: server["now"])
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


@pytest.fixture
def waited(tmp_path, server, monkeypatch, caplog):
    """Waits while the server is as it was after 0, 1, … looks: number of looks in vain, and what was warned of."""

    def wait(*states):
        states, looks = [*states, {"answers": True, "ahead": 0.0, "name": "client-0"}], 0

        def sleep(seconds):
            nonlocal looks
            assert seconds <= 5
            looks += 1
            server.update(states[looks])

        monkeypatch.setattr(health.time, "sleep", sleep)
        server.update(states[0])
        with caplog.at_level("INFO"):
            watched(tmp_path, server)
        return looks, [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    return wait


@pytest.mark.parametrize(
    ("obstacle", "says"),
    [
        ({"answers": False}, ["cannot be reached"]),
        ({"name": ""}, ["node.pub", "nodes/", "client-0.pub"]),
        ({"ahead": 3600.0}, ["clock is 3600 s ahead"]),
        ({"ahead": -3600.0}, ["clock is 3600 s behind"]),
    ],
)
def test_node_waits_until_its_server_lets_it_in_and_says_once_why(waited, obstacle, says, caplog):
    looks, (warning,) = waited(*[obstacle] * 5)
    assert looks == 5
    assert all(word in warning for word in says)
    assert "host:1 lets this node in" in caplog.text


def test_each_obstacle_is_said_once_whatever_numbers_are_in_it(waited):
    away, drifting = {"answers": False}, [{"answers": True, "ahead": 100.0 + i} for i in range(4)]
    _, warnings = waited(away, *drifting, {"ahead": 0.0, "name": ""}, away, {"answers": True})
    assert len(warnings) == 3


@pytest.mark.parametrize("name", [None, "client-0", "factory"])
def test_node_starts_at_once_where_nothing_says_that_it_is_refused(waited, name):
    assert waited({"name": name}) == (0, [])


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
