"""Messages to SuperNodes over connections that break: what a node never got, it is asked again.

Flower delivers a message at most once. One whose delivery a broken connection cuts off, or whose SuperNode was killed
and is back before anybody has seen it gone, counts as delivered, and its sender waits in vain.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from collab_asd.federation.roster import ANSWER_LOST, LOST, ClientRoster, MissingClients, greeting

if TYPE_CHECKING:
    from collab_asd.federation.flwr_compat import Run

logger = logging.getLogger(__name__)
POLL_SECONDS = 1.0
QUIET_SECONDS, MOST_QUIET_SECONDS = 20.0, 160.0
"""After how long without an answer a node is greeted, at first and at most; it doubles each time."""


class GridOver(Grid):
    """Passes every call on to another grid; subclasses override what they change.

    Parameters
    ----------
    grid : Grid
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, run: Run) -> None:
        """See `flwr.serverapp.Grid`."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """See `flwr.serverapp.Grid`."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """See `flwr.serverapp.Grid`."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """See `flwr.serverapp.Grid`."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See `flwr.serverapp.Grid`."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `flwr.serverapp.Grid`."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """See `flwr.serverapp.Grid`."""
        return self._grid.send_and_receive(messages, timeout=timeout)


def repeated(message: Message) -> Message:
    """Return a message that asks the same of the same node."""
    return Message(message.content, message.metadata.dst_node_id, message.metadata.message_type)


@dataclass
class _Question:
    """What a node was asked last, by which messages, by which greetings it was sought since, if an answer got lost."""

    message: Message
    asked: set[str] = field(default_factory=set)
    greeted: set[str] = field(default_factory=set)
    answer_lost: bool = False
    quiet: float = QUIET_SECONDS
    greet_at: float = 0.0

    def wait(self, quiet: float) -> None:
        """Leave the node alone for some seconds."""
        self.quiet, self.greet_at = quiet, time.monotonic() + quiet


class PersistentGrid(GridOver):
    """A grid that asks again what got lost on the way to a node.

    A SuperNode of a deployment answers messages one after another, in the order in which they were sent. One that is
    silent for a while is greeted. If it answers the greeting and not what it was asked before, it never got that. A
    node that is at work answers the greeting when it is done, so it is not asked twice however long it takes. Where
    Flower says that a node's answer got lost, the node is asked again at once; the second time, that is the answer:
    Flower says the same of a node that was taken out.

    What is asked twice may be answered twice; the second answer is not waited for. For nodes that answer several
    messages at once, as those of a simulation may, this grid is of no use.

    Parameters
    ----------
    grid : Grid
    roster : mapping of int to (int or None), optional
        Node ID -> which client has its key, to say for whom a run waits.
    """

    def __init__(self, grid: Grid, roster: ClientRoster | None = None) -> None:
        super().__init__(grid)
        self._roster = roster

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Exchange messages with nodes, one each.

        Parameters
        ----------
        messages : iterable of Message
        timeout : float, optional
            Seconds; by default there is no end to waiting.

        Returns
        -------
        list of Message
            In the order in which they came. A node that has not answered in time is missing.
        """
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        open_questions = {message.metadata.dst_node_id: _Question(message) for message in messages}
        self._ask(open_questions.values())
        missing = MissingClients(self._roster, time.monotonic())
        replies: list[Message] = []
        while True:
            self._collect(open_questions, replies)
            if not open_questions or (left := deadline - time.monotonic()) <= 0:
                return replies
            self._greet(open_questions)
            missing.tell(open_questions, time.monotonic())
            time.sleep(min(POLL_SECONDS, left))

    def _ask(self, questions: Iterable[_Question]) -> None:
        asked = list(questions)
        self._grid.push_messages([question.message for question in asked])
        for question in asked:
            question.asked.add(question.message.metadata.message_id)
            question.greeted.clear()  # an answer to an earlier greeting tells nothing of this
            question.wait(QUIET_SECONDS)

    def _greet(self, questions: dict[int, _Question]) -> None:
        """Greet the nodes that have been silent for long."""
        now = time.monotonic()
        silent = {node: question for node, question in questions.items() if question.greet_at <= now}
        greetings = {node: greeting(node) for node in silent}
        self._grid.push_messages(list(greetings.values()))
        for node, question in silent.items():
            question.greeted.add(greetings[node].metadata.message_id)
            question.wait(min(2 * question.quiet, MOST_QUIET_SECONDS))

    def _collect(self, questions: dict[int, _Question], replies: list[Message]) -> None:
        """Take the answers that have come; ask nodes again that answered a greeting alone, or whose answer got lost."""
        ids = {i: node for node, question in questions.items() for i in question.asked | question.greeted}
        again = set[int]()
        for reply in self._grid.pull_messages(ids):
            answered, lost = reply.metadata.reply_to_message_id, reply.error.code if reply.has_error() else None
            node = ids[answered]
            if (question := questions.get(node)) is None:
                continue
            if answered in question.greeted:
                question.greeted.remove(answered)
                if lost not in LOST:
                    again.add(node)
            elif lost in ANSWER_LOST and not question.answer_lost:
                question.asked.remove(answered)
                question.answer_lost = True
                again.add(node)
            else:
                replies.append(reply)
                del questions[node]
        self._ask(self._repeated(questions[node]) for node in again & questions.keys())

    def _repeated(self, question: _Question) -> _Question:
        about = question.message.metadata
        what = f"{about.message_type} has not reached it, or its answer got lost"
        logger.warning("SuperNode %d is asked again: %s", about.dst_node_id, what)
        question.message = repeated(question.message)
        return question
