"""Who a server takes a SuperNode for: the client whose key it has."""

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from collab_asd.core.errors import InputError
from collab_asd.federation import roster as meeting
from collab_asd.federation.grid import FIRST_CLIENT_NODE_ID as FIRST
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.roster import ConnectedClients, meet_clients, own_versions

app = ClientApp()


@app.query("hello")
def hello(message, context):
    return Message(RecordDict({"hello": ConfigRecord({**context.node_config, **own_versions()})}), reply_to=message)


@pytest.fixture
def nodes(monkeypatch):
    """SuperNodes that say who they are."""
    monkeypatch.setattr(meeting, "NODES_SECONDS", 0.2)

    def make(*said, of=3):
        told = [{"client": client, "clients": of, "private": True} for client in said]
        return InProcessGrid(app, len(said), {}, told)

    return make


def test_all_say_what_their_keys_say(nodes):
    met = meet_clients(nodes(2, 0, 1), 2, 10, {FIRST: 2, FIRST + 1: 0, FIRST + 2: 1})
    assert met == ConnectedClients({0: FIRST + 1, 1: FIRST + 2, 2: FIRST}, private=True)


def test_one_that_says_it_is_another(nodes, caplog):
    met = meet_clients(nodes(0, 1, 1), 2, 10, {FIRST: 0, FIRST + 1: 1, FIRST + 2: 2})
    why = "says that it is client 1, whose key it has not"
    assert met == ConnectedClients({0: FIRST, 1: FIRST + 1}, private=True, absent={2: why})
    assert caplog.messages == [f"refused: SuperNode {FIRST + 2}: {why}"]


def test_one_that_takes_the_place_of_one_who_is_away(nodes):
    met = meet_clients(nodes(0, 1), 1, 10, {FIRST: 0, FIRST + 1: 2, 7: 1})
    assert (met.clients, set(met.absent)) == ({0: FIRST}, {1, 2})
    assert "not connected" in met.absent[1]
    assert "whose key it has not" in met.absent[2]


def test_who_has_not_come_yet_is_said(nodes, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("collab_asd.federation.roster.TELL_SECONDS", 0.0)
    meet_clients(nodes(0), 1, 10, {FIRST: 0, 7: 1, 8: 2})
    assert caplog.messages == ["still waiting for client-1, client-2"]


def test_key_without_a_number_may_have_any_that_is_free(nodes):
    roster = {FIRST: None, FIRST + 1: 1}
    assert meet_clients(nodes(0, 1), 2, 10, roster).clients == {0: FIRST, 1: FIRST + 1}
    assert meet_clients(nodes(1, 1), 1, 10, roster).clients == {1: FIRST + 1}


def test_number_of_clients_that_cannot_be(nodes):
    with pytest.raises(InputError, match=r"clients is 4611686018427387904, outside of 1 to 524288"):
        meet_clients(nodes(0, of=2**62), 1, 10)


def test_number_of_clients_is_that_of_the_keys(nodes):
    met = meet_clients(nodes(0, 1, of=500_000), 2, 10, {FIRST: 0, FIRST + 1: 1})
    assert met == ConnectedClients({0: FIRST, 1: FIRST + 1}, private=True)


def test_who_contradicts_the_others_is_left_out(nodes, caplog):
    """One says that there are more clients, that it is another's, or that it has no folder: the others go on."""
    for lie in ({"clients": 9}, {"private": False}):
        grid = nodes(0, 1, 2)
        grid._contexts[FIRST + 1].node_config.update(lie)
        met = meet_clients(grid, 2, 10)
        assert (set(met.clients), set(met.absent)) == ({0, 2}, {1})


def test_two_that_say_that_they_are_one_client_are_both_left_out(nodes):
    met = meet_clients(nodes(0, 1, 2, 2, of=4), 2, 10)
    assert (set(met.clients), set(met.absent)) == ({0, 1}, {2, 3})
    assert "several SuperNodes say that they are client 2" in met.absent[2]


def test_what_a_node_says_cannot_forge_a_line_of_the_log(nodes, caplog):
    grid = nodes(0, 1, 2)
    grid._contexts[FIRST].node_config["version"] = "1\n12:00 ERROR all is lost\x1b[2J"
    app_says = own_versions()
    assert "version" in app_says
    met = meet_clients(grid, 2, 10)
    assert set(met.clients) >= {1, 2}
    assert not any("\n" in message or "\x1b" in message for message in caplog.messages)


@pytest.mark.parametrize("code", [3, 4, 5, 8])
def test_node_that_is_killed_while_it_is_greeted_is_greeted_again(nodes, monkeypatch, code):
    grid = nodes(0, 1, 2)
    send, lost = grid.send_and_receive, [FIRST + 1, FIRST + 1]

    def send_and_receive(messages, **how):
        replies = list(send(messages, **how))
        for i, reply in enumerate(replies):
            if lost and reply.metadata.src_node_id == lost[0]:
                lost.pop()
                asked = next(each for each in messages if each.metadata.dst_node_id == FIRST + 1)
                replies[i] = Message(Error(code, "lost"), reply_to=asked)
        return replies

    monkeypatch.setattr(grid, "send_and_receive", send_and_receive)
    monkeypatch.setattr(meeting, "NODES_SECONDS", 10)
    monkeypatch.setattr(meeting, "POLL_SECONDS", 0.01)
    assert set(meet_clients(grid, 3, 10).clients) == {0, 1, 2}
    assert not lost
