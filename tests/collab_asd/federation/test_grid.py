import gc
import weakref

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from collab_asd.core.errors import InputError
from collab_asd.federation.grid import InProcessGrid, Rules, SupervisedGrid
from collab_asd.federation.messages import HELLO, content_bytes
from collab_asd.federation.roster import meet_clients, own_versions

app = ClientApp()


@app.query("hello")
def hello(message, context):
    node = context.node_config
    content = {"client": node["partition-id"], "clients": node["num-partitions"], "private": False, **own_versions()}
    return Message(RecordDict({"hello": ConfigRecord(content)}), reply_to=message)


@app.query("echo")
def echo(message, context):
    message.content["mine"] = ConfigRecord({"client": context.node_config["partition-id"]})
    return Message(message.content, reply_to=message)


@app.query("append")
def append(message, context):
    message.content["x"]["numbers"].append(3)
    return Message(message.content, reply_to=message)


@app.query("boom")
def boom(message, context):
    if context.node_config["partition-id"] == 1:
        raise RuntimeError("a fuse has blown")
    return echo(message, context)


def grid_of(count):
    grid = InProcessGrid(app, count, {})
    return grid, meet_clients(grid, 1, 10).clients


def test_neither_side_changes_what_the_other_has():
    grid, clients = grid_of(1)
    sent = Message(RecordDict({"x": ConfigRecord({"numbers": [1, 2], "name": "n"})}), clients[0], "query.append")
    (reply,) = grid.send_and_receive([sent])
    assert dict(sent.content["x"]) == {"numbers": [1, 2], "name": "n"}
    assert dict(reply.content["x"]) == {"numbers": [1, 2, 3], "name": "n"}


class Shuffled(InProcessGrid):
    """Replies in reverse, one of them lost on request."""

    lost = 0

    def send_and_receive(self, messages, *, timeout=None):
        return super().send_and_receive(messages, timeout=timeout)[::-1][self.lost :]


def test_clients_are_met_in_their_order():
    grid, clients = grid_of(3)
    assert list(clients) == [0, 1, 2]
    assert list(clients.values()) == grid.get_node_ids()


def test_too_few_nodes_says_what_to_type():
    with pytest.raises(InputError, match='--federation-config "num-supernodes=3"'):
        meet_clients(InProcessGrid(app, 2, {}), 3, 10)


def ask(action, clients, extra=None):
    return [Message(RecordDict({"q": ConfigRecord({"k": c})}), node, action) for c, node in clients.items()]


def test_replies_come_back_sorted_by_client_each_once():
    grid = Shuffled(app, 4, {})
    supervised = SupervisedGrid(grid, meet_clients(grid, 1, 10).clients, Rules(10))
    replies = supervised.send_and_receive(ask("query.echo", supervised.clients))
    assert [r.content.config_records["mine"]["client"] for r in replies] == [0, 1, 2, 3]
    assert list(replies) == []


def test_a_reply_that_was_handed_out_is_not_held():
    grid, clients = grid_of(2)
    replies = SupervisedGrid(grid, clients, Rules(10)).send_and_receive(ask("query.echo", clients))
    first = weakref.ref(next(replies))
    gc.collect()
    assert first() is None
    assert next(replies).content


def test_a_failing_client_is_named():
    grid, clients = grid_of(3)
    with pytest.raises(InputError, match=r"^client 1: RuntimeError: a fuse has blown$"):
        SupervisedGrid(grid, clients, Rules(10)).send_and_receive(ask("query.boom", clients))


def test_a_silent_client_is_named():
    grid = Shuffled(app, 3, {})
    clients = meet_clients(grid, 1, 10).clients
    grid.lost = 1
    with pytest.raises(InputError, match="client 2: no answer within timeout = 7 s"):
        SupervisedGrid(grid, clients, Rules(7)).send_and_receive(ask("query.echo", clients))


def test_bytes_are_counted_per_client_and_direction():
    grid, clients = grid_of(2)
    supervised = SupervisedGrid(grid, clients, Rules(10))
    (message,) = ask("query.echo", {1: clients[1]})
    (reply,) = supervised.send_and_receive([message])
    sizes = content_bytes(reply.content), content_bytes(message.content)
    assert (supervised.traffic.of(1), supervised.traffic.of(0)) == (sizes, (0, 0))
    assert supervised.traffic.by_phase(1) == {"query.echo": sizes}


def test_a_client_cannot_change_what_the_server_sent():
    grid, clients = grid_of(1)
    (message,) = ask("query.echo", clients)
    SupervisedGrid(grid, clients, Rules(10)).send_and_receive([message])
    assert set(message.content) == {"q"}


def test_grid_serves_nodes_of_taking_part_clients_only():
    grid, clients = grid_of(3)
    assert SupervisedGrid(grid, {2: clients[2]}, Rules(10)).get_node_ids() == [clients[2]]


def test_hello_is_answered_by_the_real_client_app():
    from simulations.client_app import app as client_app

    grid = InProcessGrid(client_app, 2, {})
    greeting = RecordDict({"server": ConfigRecord(own_versions())})
    (reply,) = grid.send_and_receive([Message(greeting, grid.get_node_ids()[1], HELLO)])
    said = {"client": 1, "clients": 2, "private": False, **own_versions()}
    assert dict(reply.content.config_records["hello"]) == said


class Sick(InProcessGrid):
    """Client 1 fails as often as it is told to; counts how many messages are under way at once."""

    failures = 0
    most = 0

    def send_and_receive(self, messages, *, timeout=None):
        sent = list(messages)
        self.most = max(self.most, len(sent))
        replies = super().send_and_receive(sent, timeout=timeout)
        if self.failures:
            self.failures -= 1
            return [r for r in replies if r.content.config_records["mine"]["client"] != 1]
        return replies


def sick(failures, count=3, rules=None, **options):
    grid = Sick(app, count, {})
    clients = meet_clients(grid, 1, 10).clients
    supervised = SupervisedGrid(grid, clients, Rules(10, **{"exclude": True} | (rules or {})), **options)
    grid.failures, grid.most = failures, 0
    return grid, supervised


def answered(supervised):
    return [supervised.client_of(r) for r in supervised.send_and_receive(ask("query.echo", supervised.clients))]


def test_a_client_that_fails_once_is_asked_again():
    _, supervised = sick(1, rules={"retries": 1})
    assert (answered(supervised), supervised.excluded) == ([0, 1, 2], {})


def test_a_client_that_goes_on_failing_is_excluded_and_asked_no_more():
    _, supervised = sick(2, rules={"retries": 1})
    assert answered(supervised) == [0, 2]
    assert supervised.excluded == {1: "no answer within timeout = 10 s"}
    assert list(supervised.clients) == [0, 2]
    assert answered(supervised) == [0, 2]


def test_too_few_clients_left_end_the_run():
    _, supervised = sick(1, rules={"min_clients": 3})
    with pytest.raises(InputError, match=r"(?s)2 clients are left of min-clients = 3.*client 1: no answer"):
        answered(supervised)


def test_a_rule_that_excludes_nobody_ends_the_run():
    _, supervised = sick(1, rules={"exclude": False})
    with pytest.raises(InputError, match=r"^client 1: no answer"):
        answered(supervised)


@pytest.mark.parametrize("most", [2, 5])
def test_so_many_messages_are_in_flight_at_once(most):
    grid, supervised = sick(0, count=5, max_in_flight=most)
    assert answered(supervised) == [0, 1, 2, 3, 4]
    assert grid.most == most


@pytest.mark.parametrize("bad", [1, 2])
def test_a_reply_that_does_not_pass_the_check_is_asked_for_again(bad):
    checked = []

    def check(client, message, reply):
        assert reply.content["q"] == message.content["q"]
        checked.append(client)
        if client == 2 and checked.count(2) <= bad:
            raise ValueError("nonsense")

    _, supervised = sick(0, rules={"retries": 1}, check=check)
    assert answered(supervised) == ([0, 1] if bad == 2 else [0, 1, 2])
    assert supervised.excluded == ({2: "nonsense"} if bad == 2 else {})
    assert checked == [0, 1, 2, 2]


def test_who_is_excluded_among_some_is_told_of_all():
    _, supervised = sick(1)
    part = supervised.only([0, 1])
    assert answered(part) == [0]
    assert set(supervised.excluded) == {1}
    assert supervised.traffic.of(0) > (0, 0)
    assert supervised.traffic.of(2) == (0, 0)


class Twice(InProcessGrid):
    """Hands out every reply twice."""

    def send_and_receive(self, messages, *, timeout=None):
        replies = super().send_and_receive(messages, timeout=timeout)
        return [*replies, *replies]


def test_answers_that_come_twice_are_dropped(caplog):
    grid = Twice(app, 2, {})
    seen = []
    supervised = SupervisedGrid(
        grid,
        dict(enumerate(grid.get_node_ids())),
        Rules(10),
        check=lambda client, message, reply: seen.append(reply.metadata.reply_to_message_id),
    )
    for _ in range(2):
        assert answered(supervised) == [0, 1]
    assert len(set(seen)) == len(seen) == 4
    assert "an answer that nobody waits for is dropped" in caplog.text


class Returning(InProcessGrid):
    """Client 1's SuperNode dies at its first message; it is connected again when it has been looked for twice."""

    looked, died = 0, False

    def get_node_ids(self):
        nodes = super().get_node_ids()
        self.looked += self.died
        return nodes[:1] if self.died and self.looked < 3 else nodes

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        if not self.died and any(message.metadata.message_type == "query.echo" for message in messages):
            self.died, messages = True, messages[:1]
        return super().send_and_receive(messages, timeout=timeout)


def test_a_supernode_that_comes_back_is_waited_for_and_asked_again(monkeypatch, caplog):
    monkeypatch.setattr("collab_asd.federation.grid.POLL_SECONDS", 0.0)
    grid = Returning(app, 2, {})
    supervised = SupervisedGrid(grid, meet_clients(grid, 1, 10).clients, Rules(10, retries=1, patience=5.0))
    replies = supervised.send_and_receive(ask("query.echo", supervised.clients))
    assert [r.content.config_records["mine"]["client"] for r in replies] == [0, 1]
    assert (grid.looked, supervised.excluded) == (3, {})
    assert "client 1: no answer, and its SuperNode is not connected any more" in caplog.text


def hello_of(**said):
    """SuperNodes that say of themselves what they like."""
    liar = ClientApp()

    @liar.query("hello")
    def hello(message, context):
        client = context.node_config["partition-id"]
        content = {"client": client, "clients": 3, "private": True, **own_versions()}
        return Message(RecordDict({"hello": ConfigRecord(content | said)}), reply_to=message)

    return liar


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"client": 1}, "several SuperNodes say that they are client 1"),
        ({"client": 3}, "none of 3"),
        ({"protocol": 1}, r"client 0 runs collab-asd .* \(protocol 1\), the server runs"),
    ],
)
def test_a_supernode_that_cannot_be_who_it_says_is_refused(said, why):
    with pytest.raises(InputError, match=why):
        meet_clients(InProcessGrid(hello_of(**said), 3, {}), 1, 10)


def test_a_deployment_goes_on_without_clients_that_are_not_connected(monkeypatch):
    monkeypatch.setattr("collab_asd.federation.roster.NODES_SECONDS", 0.0)
    met = meet_clients(InProcessGrid(hello_of(), 2, {}), 2, 10)
    assert (list(met.clients), met.private, list(met.absent)) == ([0, 1], True, [2])


def test_a_deployment_with_too_few_clients_is_no_run(monkeypatch):
    monkeypatch.setattr("collab_asd.federation.roster.NODES_SECONDS", 0.0)
    with pytest.raises(InputError, match="2 of 3 SuperNodes are connected"):
        meet_clients(InProcessGrid(hello_of(), 2, {}), 3, 10)
