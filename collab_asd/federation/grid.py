"""Grids: one that sees to the clients of a run, and one that calls them in this very process.

The supervised one stands over any other: it numbers and counts the clients, and lets none fail silently. The one in
process is for notebooks, tests and speed. Strategies run on it unchanged. One per process at a time, since Flower keeps
a task's identity in a global.
"""

from __future__ import annotations

import itertools
import logging
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from collab_asd.core.errors import InputError
from collab_asd.core.terminal import shortened
from collab_asd.federation import flwr_compat
from collab_asd.federation.delivery import GridOver, repeated
from collab_asd.federation.messages import content_bytes
from collab_asd.federation.recording import ViewRecorder, Way

if TYPE_CHECKING:
    from collab_asd.federation.flwr_compat import Run


logger = logging.getLogger(__name__)
POLL_SECONDS = 1.0
MAX_IN_FLIGHT = 64
GONE = "no answer, and its SuperNode is not connected any more"
Check = Callable[[int, Message, Message], None]
"""Raises a ValueError where a client's reply to a message cannot be used; called with client, message and reply."""
Measure = Callable[[Sequence[Any]], Mapping[str, float]]
"""Called with the clients' scores; returns what they are worth, for Flower's metrics. Only who has labels can say."""


@dataclass
class ByteCounter:
    """Serialized bytes of message content by client and message type, from the client's view."""

    up: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    down: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def of(self, client: int) -> tuple[int, int]:
        """Bytes up and down of one client."""
        return self.up[client].total(), self.down[client].total()

    def by_phase(self, client: int) -> dict[str, tuple[int, int]]:
        """Bytes up and down of one client by message type, in the order in which they began."""
        return {phase: (self.up[client][phase], down) for phase, down in self.down[client].items()}


@dataclass(frozen=True)
class Rules:
    """What is done about a client that fails, does not answer or answers nonsense.

    Parameters
    ----------
    timeout : float
        Seconds to wait for the slowest reply of an exchange.
    retries : int
        How often a client that failed is asked again.
    exclude : bool
        Go on without a client that failed all the same; otherwise the run ends with an error.
    min_clients : int
        With fewer clients than this the run ends with an error.
    patience : float
        Seconds to wait for a SuperNode that is gone to come back, before its client is asked again.
    """

    timeout: float
    retries: int = 0
    exclude: bool = False
    min_clients: int = 1
    patience: float = 0.0


class SupervisedGrid(GridOver):
    """A grid of the clients that take part, over any other grid.

    It counts the bytes of each exchange, sorts the replies by client (they arrive in any order), and sees to clients
    that fail as `Rules` say. Replies that nobody waits for (a second one, one of a stranger) are dropped.

    Parameters
    ----------
    grid : Grid
        Flower's own or the in-process one.
    clients : mapping of int to int
        Client number -> node ID. Other nodes of `grid` are left alone.
    rules : Rules
    folder : Path, optional
        Where the server may keep what it needs to take the run up again.
    check : callable, optional
        Looks at each reply. A ValueError is the client's failure: it is asked again, and then excluded.
    recorder : ViewRecorder, optional
        Writes down all that is exchanged.
    absent : mapping of int to str, optional
        Client number -> why it takes no part from the beginning.
    measure : callable, optional
        Called with the clients' scores, once they are gathered; see `Measure`.
    pseudonymous : bool
        Whether the clients number groups of machines by pseudonyms, as in a deployment.
    max_in_flight : int
        So many messages are under way at once.

    Attributes
    ----------
    clients : dict
        Those that still take part.
    excluded : dict
        Client number -> why it does not, or not any more.
    traffic : ByteCounter
    """

    def __init__(
        self,
        grid: Grid,
        clients: Mapping[int, int],
        rules: Rules,
        folder: Path | None = None,
        *,
        check: Check | None = None,
        recorder: ViewRecorder | None = None,
        absent: Mapping[int, str] | None = None,
        measure: Measure | None = None,
        pseudonymous: bool = False,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        super().__init__(grid)
        self.rules, self.folder = rules, folder
        self._check, self._recorder, self._max_in_flight = check, recorder, max_in_flight
        self.clients, self.excluded = dict(clients), dict(absent or {})
        self.measure = measure
        self.pseudonymous, self.traffic = pseudonymous, ByteCounter()
        self._client_of = {node: client for client, node in clients.items()}

    def only(self, clients: Iterable[int]) -> SupervisedGrid:
        """Return a grid of some of the clients: who is excluded there, and what is sent there, is counted here."""
        part = copy(self)
        part.clients = {client: self.clients[client] for client in clients}
        return part

    def client_of(self, message: Message) -> int:
        """Return the client that a message is for or from."""
        there, here = message.metadata.dst_node_id, message.metadata.src_node_id
        return self._client_of[there if there in self._client_of else here]

    def exclude(self, troubles: Mapping[int, str]) -> None:
        """Go on without some clients, if the rules allow it.

        Raises
        ------
        InputError
            They do not: names each client and its trouble.
        """
        if troubles and not self.rules.exclude:
            raise InputError("\n".join(f"client {client}: {shortened(why)}" for client, why in troubles.items()))
        for client, said in troubles.items():
            why = shortened(said)  # it may quote the client, and goes into logs and result files
            logger.warning("client %d is excluded: %s", client, why)
            self.excluded[client] = why
            self.clients.pop(client, None)
        if troubles and len(self.clients) < self.rules.min_clients:
            reasons = "\n".join(f"client {client}: {why}" for client, why in self.excluded.items())
            raise InputError(
                f"{len(self.clients)} clients are left of min-clients = {self.rules.min_clients}\n{reasons}"
            )

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Exchange messages with clients, one each; replies come back sorted by client.

        All have come when this returns. A reply is let go when it has been handed out, since replies may be large.

        Raises
        ------
        InputError
            Names every client that failed, or that gave no answer within the time, where the rules exclude none.
        """
        limit = self.rules.timeout if timeout is None else min(timeout, self.rules.timeout)
        replies: list[Message] = []
        unsent = iter(messages)
        while sent := list(islice(unsent, self._max_in_flight)):  # a message is made when its turn comes
            for attempts_left in reversed(range(self.rules.retries + 1)):
                for message in sent:
                    client, kind = self.client_of(message), message.metadata.message_type
                    self.traffic.down[client][kind] += content_bytes(message.content)
                    self._note("down", message)
                began = time.monotonic()
                answers = list(self._grid.send_and_receive(sent, timeout=limit))
                silent = f"no answer within timeout = {limit:g} s"
                if self.rules.patience and time.monotonic() - began < limit:
                    silent = GONE
                sound, troubles = self._sorted(sent, answers, silent)
                replies += sound
                if not troubles or not attempts_left:
                    break
                logger.warning("asking again: %s", "; ".join(f"client {c}: {why}" for c, why in troubles.items()))
                self._await_return(troubles)
                sent = [repeated(message) for message in sent if self.client_of(message) in troubles]
            self.exclude(troubles)
        replies.sort(key=self.client_of, reverse=True)
        return (replies.pop() for _ in range(len(replies)))

    def _await_return(self, clients: Iterable[int]) -> None:
        """Wait for the SuperNodes of clients that died and were started again."""
        nodes = {self.clients[client] for client in clients if client in self.clients}
        deadline = time.monotonic() + self.rules.patience
        while time.monotonic() < deadline and not nodes <= set(self._grid.get_node_ids()):
            time.sleep(POLL_SECONDS)

    def _sorted(
        self, sent: Sequence[Message], answers: Sequence[Message], silent: str
    ) -> tuple[list[Message], dict[int, str]]:
        """Return the replies that are sound, and why the other clients failed; `silent` is what a missing one means."""
        waiting = {self.client_of(message): message for message in sent}
        replies: list[Message] = []
        troubles: dict[int, str] = {}
        for reply in sorted(filter(self._known, answers), key=self.client_of):
            client = self.client_of(reply)
            if client not in waiting:
                logger.warning("client %d: an answer that nobody waits for is dropped", client)
            elif why := self._trouble(waiting.pop(client), reply):
                troubles[client] = shortened(why)
            else:
                replies.append(reply)
        return replies, troubles | dict.fromkeys(sorted(waiting), silent)

    def _trouble(self, message: Message, reply: Message) -> str:
        """Count a reply and say what is wrong with it, if anything: whatever fails here is that client's failure.

        Only what can be read is recorded.
        """
        client = self.client_of(reply)
        try:
            if reply.has_error():
                self._note("up", reply)
                return str(reply.error.reason)
            self.traffic.up[client][message.metadata.message_type] += content_bytes(reply.content)
            if self._check is not None:
                self._check(client, message, reply)
            self._note("up", reply)
        except ValueError as error:
            return str(error) or "its answer cannot be read"
        except OSError:
            raise  # of this machine: the disk that it is recorded on is full
        except Exception as error:
            logger.debug("client %d: its answer made the check fail:\n%s", client, traceback.format_exc())
            return f"its answer cannot be read ({type(error).__name__}: {error})"
        return ""

    def _note(self, way: Way, message: Message) -> None:
        if self._recorder is not None:
            self._recorder(way, self.client_of(message), message)

    def _known(self, message: Message) -> bool:
        ends = message.metadata.dst_node_id, message.metadata.src_node_id
        return any(node in self._client_of for node in ends)

    def get_node_ids(self) -> Iterable[int]:
        """Nodes of the clients that take part, in the order of the clients."""
        return list(self.clients.values())


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
    copied = copy(message)
    if message.has_content():
        copied.content = RecordDict({name: _copied_record(record) for name, record in message.content.items()})
    return copied


def _copied_record(record: RecordType) -> RecordType:
    """Copy a record; numbers, texts and the bytes of arrays never change, lists of numbers may."""
    has_lists = any(isinstance(value, list) for value in record.values())
    return deepcopy(record) if has_lists else record.copy()
