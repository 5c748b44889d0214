from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from collab_asd.federation.delivery import PersistentGrid
from collab_asd.federation.flwr_compat import set_message_id
from collab_asd.federation.grid import FIRST_CLIENT_NODE_ID, InProcessGrid, Rules, SupervisedGrid
from collab_asd.federation.messages import HELLO
from collab_asd.federation.roster import meet_clients, own_versions

ECHO = "query.echo"
NODES = FIRST, SECOND = FIRST_CLIENT_NODE_ID, FIRST_CLIENT_NODE_ID + 1
app = ClientApp()


@app.query("hello")
def hello(message, context):
    node = context.node_config
    content = {"client": node["partition-id"], "clients": node["num-partitions"], "private": True, **own_versions()}
    return Message(RecordDict({"hello": ConfigRecord(content)}), reply_to=message)


@app.query("echo")
def echo(message, context):
    return Message(message.content, reply_to=message)


class Wire(InProcessGrid):
    """SuperNodes that answer one message after another, at a clock of its own, and lose some of what they are sent."""

    def __init__(self):
        super().__init__(app, len(NODES), {})
        self.now, self.work = 0.0, {ECHO: 0.0, HELLO: 0.0}
        self.lost, self.sent, self.free_at = [], [], dict.fromkeys(NODES, 0.0)
        self.answers = {}

    def push_messages(self, messages):
        ids = []
        for message in messages:
            node, kind = message.metadata.dst_node_id, message.metadata.message_type
            (reply,) = InProcessGrid.send_and_receive(self, [message])
            ids.append(message.metadata.message_id)
            self.sent.append((self.now, node, kind))
            if (node, kind) in self.lost:
                self.lost.remove((node, kind))
                continue
            self.free_at[node] = max(self.now, self.free_at[node]) + self.work[kind]
            self.answers[message.metadata.message_id] = (self.free_at[node], reply)
        return ids

    def pull_messages(self, message_ids):
        ready = [i for i in message_ids if i in self.answers and self.answers[i][0] <= self.now]
        return [self.answers.pop(i)[1] for i in ready]

    def sleep(self, seconds):
        self.now += seconds

    def of(self, node):
        return [(at, kind) for at, to, kind in self.sent if to == node]


@pytest.fixture
def wire(monkeypatch):
    grid = Wire()
    clock = SimpleNamespace(monotonic=lambda: grid.now, sleep=lambda seconds: grid.sleep(seconds))
    monkeypatch.setattr("collab_asd.federation.delivery.time", clock)
    return grid


def ask(grid, timeout=3600.0, nodes=NODES):
    sent = [Message(RecordDict({"q": ConfigRecord({"node": node})}), node, ECHO) for node in nodes]
    replies = PersistentGrid(grid).send_and_receive(sent, timeout=timeout)
    return sorted(reply.content.config_records["q"]["node"] for reply in replies)


def test_what_arrives_is_asked_once(wire):
    assert ask(wire) == [*NODES]
    assert wire.sent == [(0, FIRST, ECHO), (0, SECOND, ECHO)]


@pytest.mark.parametrize("times", [1, 2])
def test_what_got_lost_is_asked_again(wire, times, caplog):
    wire.lost = [(SECOND, ECHO)] * times
    assert ask(wire) == [*NODES]
    assert wire.of(FIRST) == [(0, ECHO)]
    assert [kind for _, kind in wire.of(SECOND)] == [ECHO, *[HELLO, ECHO] * times]
    assert wire.now < 25 * times
    assert caplog.text.count(f"SuperNode {SECOND} is asked again") == times


@pytest.mark.parametrize(("losses", "asked", "answered"), [(1, [0, 180], True), (2, [0, 180], False)])
def test_a_node_whose_answer_got_lost_is_asked_again_once(wire, losses, asked, answered):
    """Flower says after three minutes, in the answer's place and in its own name, that the answer got lost."""
    push, left = wire.push_messages, iter(range(losses))

    def push_messages(messages):
        ids = push(messages)
        for message, i in zip(messages, ids, strict=True):
            if message.metadata.message_type == ECHO and next(left, None) is not None:
                lost = Message(Error(3, "reply unavailable"), reply_to=message)
                lost.metadata.__dict__["_src_node_id"] = 1
                wire.answers[i] = wire.now + 180.0, lost
        return ids

    wire.push_messages, wire.work[HELLO] = push_messages, 1000.0  # it is busy: no greeting tells anything
    (reply,) = PersistentGrid(wire).send_and_receive([Message(RecordDict(), FIRST, ECHO)])
    assert [at for at, kind in wire.of(FIRST) if kind == ECHO] == asked
    assert reply.has_content() == answered


def test_who_is_waited_for_is_said_once_for_each_who_is_left(wire, caplog):
    caplog.set_level("INFO")
    wire.work[ECHO] = 15.0
    wire.free_at[SECOND] = 100.0
    messages = [Message(RecordDict(), node, ECHO) for node in NODES]
    PersistentGrid(wire, {FIRST: 3, SECOND: None}).send_and_receive(messages)
    assert caplog.messages == [
        f"still waiting for client-3, SuperNode {SECOND}",
        f"still waiting for SuperNode {SECOND}",
    ]


def test_a_lost_greeting_is_repeated_later(wire):
    wire.lost = [(SECOND, ECHO), (SECOND, HELLO)]
    assert ask(wire) == [*NODES]
    assert wire.of(SECOND) == [(0, ECHO), (20, HELLO), (60, HELLO), (61, ECHO)]


def test_a_node_at_work_is_asked_once_and_greeted_ever_more_rarely(wire):
    wire.work[ECHO] = 1000.0
    assert ask(wire, nodes=[FIRST]) == [FIRST]
    assert wire.of(FIRST)[0] == (0, ECHO)
    assert [at for at, kind in wire.of(FIRST) if kind == HELLO] == [20, 60, 140, 300, 460, 620, 780, 940]
    assert wire.now == 1000


def test_a_message_lost_after_long_work_is_asked_again(wire):
    """A SuperNode is killed at work, and back: all that it was asked is gone."""
    wire.work[ECHO], killed = 500.0, []

    def sleep(seconds):
        wire.now += seconds
        if wire.now > 450 and not killed:
            killed.append(wire.answers.clear())
            wire.free_at[FIRST], wire.work[ECHO] = wire.now, 1.0

    wire.sleep = sleep
    assert ask(wire, nodes=[FIRST]) == [FIRST]
    assert wire.now < 500


def test_an_answer_to_an_earlier_greeting_is_no_reason_to_ask_again(wire):
    """The node is slow: it is asked again when the first greeting is answered, and answers the second one meanwhile."""
    wire.lost, wire.work[HELLO], wire.work[ECHO] = [(FIRST, ECHO)], 50.0, 30.0
    assert ask(wire, nodes=[FIRST]) == [FIRST]
    assert [kind for _, kind in wire.of(FIRST)].count(ECHO) == 2


def test_a_node_that_answers_nothing_is_given_up_in_time(wire):
    wire.lost = [(SECOND, ECHO), *[(SECOND, HELLO)] * 9]
    assert ask(wire, timeout=90.5) == [FIRST]
    assert wire.now == 90.5


@pytest.mark.parametrize(("code", "asked"), [(5, [ECHO, HELLO]), (2, [ECHO, HELLO, ECHO])])
def test_errors_are_handed_on_and_a_greeting_that_was_lost_asks_nothing_again(wire, monkeypatch, code, asked):
    def refused(self, messages, *, timeout=None):
        (message,) = messages
        set_message_id(message, str(len(self.sent)))
        return [Message(Error(code, "no"), reply_to=message)]

    wire.work[ECHO], wire.work[HELLO] = 30.0, -30.0
    monkeypatch.setattr(InProcessGrid, "send_and_receive", refused)
    (reply,) = PersistentGrid(wire).send_and_receive([Message(RecordDict(), FIRST, ECHO)], timeout=100)
    assert (reply.error.code, wire.now) == (code, 30)
    assert [kind for _, kind in wire.of(FIRST)] == asked


def test_a_lost_greeting_holds_up_no_run(wire):
    wire.lost = [(SECOND, HELLO)]
    met = meet_clients(PersistentGrid(wire), 2, 3600.0, {FIRST: 0, SECOND: 1})
    assert met.clients == {0: FIRST, 1: SECOND}
    assert wire.now < 25


def test_clients_of_a_run_are_asked_again_and_what_that_costs_is_not_theirs(wire):
    wire.lost = [(FIRST, ECHO)]
    supervised = SupervisedGrid(PersistentGrid(wire), {0: FIRST, 1: SECOND}, Rules(3600.0))
    sent = [Message(RecordDict({"q": ConfigRecord({"node": node})}), node, ECHO) for node in NODES]
    assert len(list(supervised.send_and_receive(sent))) == 2
    assert supervised.traffic.of(0) == supervised.traffic.of(1)
