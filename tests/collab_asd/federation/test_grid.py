import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from collab_asd.errors import InputError
from collab_asd.federation.actions import HELLO
from collab_asd.federation.grid import SupervisedGrid, meet_clients
from collab_asd.federation.inprocess import InProcessGrid
from collab_asd.federation.records import content_bytes

app = ClientApp()


@app.query("hello")
def hello(message, context):
    node = context.node_config
    content = {"client": node["partition-id"], "clients": node["num-partitions"]}
    return Message(RecordDict({"hello": ConfigRecord(content)}), reply_to=message)


@app.query("echo")
def echo(message, context):
    message.content["mine"] = ConfigRecord({"client": context.node_config["partition-id"]})
    return Message(message.content, reply_to=message)


@app.query("boom")
def boom(message, context):
    if context.node_config["partition-id"] == 1:
        raise RuntimeError("a fuse has blown")
    return echo(message, context)


def grid_of(count):
    grid = InProcessGrid(app, count, {})
    return grid, meet_clients(grid, 1, 10)


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


def test_replies_come_back_sorted_by_client():
    grid = Shuffled(app, 4, {})
    supervised = SupervisedGrid(grid, meet_clients(grid, 1, 10), 10)
    replies = supervised.send_and_receive(ask("query.echo", supervised.clients))
    assert [r.content.config_records["mine"]["client"] for r in replies] == [0, 1, 2, 3]


def test_a_failing_client_is_named():
    grid, clients = grid_of(3)
    with pytest.raises(InputError, match=r"^client 1: RuntimeError: a fuse has blown$"):
        SupervisedGrid(grid, clients, 10).send_and_receive(ask("query.boom", clients))


def test_a_silent_client_is_named():
    grid = Shuffled(app, 3, {})
    clients = meet_clients(grid, 1, 10)
    grid.lost = 1
    with pytest.raises(InputError, match="client 2: no answer within timeout = 7 s"):
        SupervisedGrid(grid, clients, 7).send_and_receive(ask("query.echo", clients))


def test_bytes_are_counted_per_client_and_direction():
    grid, clients = grid_of(2)
    supervised = SupervisedGrid(grid, clients, 10)
    (message,) = ask("query.echo", {1: clients[1]})
    (reply,) = supervised.send_and_receive([message])
    assert dict(supervised.traffic.down) == {1: content_bytes(message.content)}
    assert dict(supervised.traffic.up) == {1: content_bytes(reply.content)}


def test_a_client_cannot_change_what_the_server_sent():
    grid, clients = grid_of(1)
    (message,) = ask("query.echo", clients)
    SupervisedGrid(grid, clients, 10).send_and_receive([message])
    assert set(message.content) == {"q"}


def test_grid_serves_nodes_of_taking_part_clients_only():
    grid, clients = grid_of(3)
    assert SupervisedGrid(grid, {2: clients[2]}, 10).get_node_ids() == [clients[2]]


def test_hello_is_answered_by_the_real_client_app():
    from simulations.client_app import app as client_app

    grid = InProcessGrid(client_app, 2, {})
    (reply,) = grid.send_and_receive([Message(RecordDict(), grid.get_node_ids()[1], HELLO)])
    assert dict(reply.content.config_records["hello"]) == {"client": 1, "clients": 2}
