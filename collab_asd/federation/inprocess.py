"""A grid that calls the ClientApp in this very process: for notebooks, tests and speed.

Strategies run on it unchanged. One per process at a time, since Flower keeps a task's identity in a global.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from collab_asd.federation import flwr_compat

if TYPE_CHECKING:
    from collab_asd.federation.flwr_compat import Run

RecordType: TypeAlias = ArrayRecord | ConfigRecord | MetricRecord
SERVER_NODE_ID = 1
FIRST_CLIENT_NODE_ID = 1000
CLIENT_APP_RAISED = 2


class InProcessGrid(Grid):
    """Clients of one process, each with its own context.

    Parameters
    ----------
    client_app : ClientApp
    clients : int
        Number of SuperNodes to imitate.
    run_config : UserConfig
        What each client sees as its run config.
    node_configs : sequence of UserConfig, optional
        What each SuperNode is told, as by ``--node-config`` in a deployment; by default ``partition-id`` and
        ``num-partitions``, as in a simulation.
    """

    def __init__(
        self,
        client_app: ClientApp,
        clients: int,
        run_config: UserConfig,
        node_configs: Sequence[UserConfig] | None = None,
    ) -> None:
        self._client_app = client_app
        self._run = flwr_compat.Run.create_empty(run_id=1)
        self._numbers = itertools.count(1)
        self._replies: dict[str, Message] = {}
        task = flwr_compat.TaskIdentity
        task.run_id, task.node_id, task.task_id = self._run.run_id, SERVER_NODE_ID, 1
        told = node_configs or [{"partition-id": k, "num-partitions": clients} for k in range(clients)]
        self._contexts = {
            node: Context(self._run.run_id, node, node_config, RecordDict(), run_config)
            for node, node_config in enumerate(told, start=FIRST_CLIENT_NODE_ID)
        }

    def set_run(self, run: Run) -> None:
        """Set the run that messages belong to."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that messages belong to."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Create a message to one node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """IDs of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Answer each message at once and keep the reply for `pull_messages`."""
        replies = self.send_and_receive(messages)
        self._replies |= {reply.metadata.reply_to_message_id: reply for reply in replies}
        return [reply.metadata.reply_to_message_id for reply in replies]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Hand out the replies to the messages with these IDs, once."""
        return [self._replies.pop(i) for i in message_ids if i in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Let the ClientApp answer a copy of each message in turn; nobody is waited for, so `timeout` is not used."""
        replies = []
        for message in messages:
            flwr_compat.set_message_id(message, str(next(self._numbers)))
            try:
                reply = _copied(self._client_app(_copied(message), self._contexts[message.metadata.dst_node_id]))
            except (
                Exception
            ) as error:  # as Flower's own engines do: a client's failure is a reply, not the server's end
                reply = Message(Error(CLIENT_APP_RAISED, f"{type(error).__name__}: {error}"), reply_to=message)
            replies.append(reply)
        return replies


def _copied(message: Message) -> Message:
    """Copy a message, so that neither side can change what the other has."""
    copied = copy.copy(message)
    if message.has_content():
        copied.content = RecordDict({name: _copied_record(record) for name, record in message.content.items()})
    return copied


def _copied_record(record: RecordType) -> RecordType:
    """Copy a record; numbers, texts and the bytes of arrays never change, lists of numbers may."""
    has_lists = any(isinstance(value, list) for value in record.values())
    return copy.deepcopy(record) if has_lists else record.copy()
