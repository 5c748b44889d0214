"""The clients of one run, as the server sees them: numbered, counted, and none failing silently."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from collab_asd.errors import InputError
from collab_asd.federation.actions import HELLO
from collab_asd.federation.records import content_bytes

logger = logging.getLogger(__name__)
FIRST_NODE_SECONDS = 60.0


@dataclass
class Traffic:
    """Serialized bytes of message content per client, from the client's view."""

    up: Counter[int] = field(default_factory=Counter)
    down: Counter[int] = field(default_factory=Counter)


def meet_clients(grid: Grid, min_clients: int, timeout: float) -> dict[int, int]:
    """Wait for the SuperNodes and ask each which client it is.

    A ServerApp may start before any node has registered, so the first node is asked how many there will be.

    Returns
    -------
    dict
        Client number -> node ID, in the order of the clients.

    Raises
    ------
    InputError
        No node came, or fewer than `min_clients`.
    """
    nodes = _wait_for_nodes(grid, 1)
    _, expected = _hello(grid, nodes[:1], timeout)[nodes[0]]
    if expected < min_clients:
        raise InputError(
            f"this federation has {expected} SuperNodes and min-clients = {min_clients}: start the run with "
            f'--federation-config "num-supernodes={min_clients}", or lower min-clients'
        )
    answers = _hello(grid, _wait_for_nodes(grid, expected), timeout)
    return dict(sorted((client, node) for node, (client, _) in answers.items()))


def _wait_for_nodes(grid: Grid, count: int) -> list[int]:
    deadline = time.monotonic() + FIRST_NODE_SECONDS
    while len(nodes := sorted(grid.get_node_ids())) < count:
        if time.monotonic() > deadline:
            raise InputError(
                f"{len(nodes)} of {count} SuperNodes are connected after {FIRST_NODE_SECONDS:.0f} s: start the others"
            )
        time.sleep(0.05)
    return nodes


def _hello(grid: Grid, nodes: list[int], timeout: float) -> dict[int, tuple[int, int]]:
    """Ask nodes for their (client number, number of clients)."""
    messages = [Message(RecordDict(), node, HELLO) for node in nodes]
    replies = list(grid.send_and_receive(messages, timeout=timeout))
    if failed := [r for r in replies if r.has_error()]:
        raise InputError(f"a SuperNode could not be greeted: {failed[0].error.reason}")
    if len(replies) < len(nodes):
        raise InputError(f"{len(nodes) - len(replies)} SuperNodes gave no answer within {timeout:g} s")
    config = {r.metadata.src_node_id: r.content.config_records["hello"] for r in replies}
    return {node: (int(str(c["client"])), int(str(c["clients"]))) for node, c in config.items()}


def require_same_encoder(digests: Mapping[int, str]) -> None:
    """Refuse clients, by number, whose encoders differ.

    Raises
    ------
    InputError
        Names the first two that do.
    """
    first, *others = digests
    for client in others:
        if digests[client] != digests[first]:
            raise InputError(
                f"clients {first} and {client} use different encoders (digests {digests[first][:12]} and "
                f"{digests[client][:12]}): give all clients the same encoder, weights and key"
            )


class SupervisedGrid(Grid):
    """A grid of the clients that take part, over any other grid.

    It counts the bytes of each exchange, sorts the replies by client (they arrive in any order), and turns a client
    that failed or did not answer into an error that names it.

    Parameters
    ----------
    grid : Grid
        Flower's own or the in-process one.
    clients : dict
        Client number -> node ID. Other nodes of `grid` are left alone.
    timeout : float
        Seconds to wait for the slowest reply of an exchange.
    """

    def __init__(self, grid: Grid, clients: dict[int, int], timeout: float) -> None:
        self._grid = grid
        self._timeout = timeout
        self.clients = clients
        self.traffic = Traffic()
        self._client_of = {node: client for client, node in clients.items()}

    def only(self, clients: Iterable[int]) -> SupervisedGrid:
        """Return a grid of some of the clients, whose traffic is counted here."""
        part = SupervisedGrid(self._grid, {c: self.clients[c] for c in clients}, self._timeout)
        part.traffic = self.traffic
        return part

    def client_of(self, message: Message) -> int:
        """Return the client that a message is for or from."""
        there, here = message.metadata.dst_node_id, message.metadata.src_node_id
        return self._client_of[there if there in self._client_of else here]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Exchange messages with clients; replies come back sorted by client.

        Raises
        ------
        InputError
            Names every client that failed, or that gave no answer within the time.
        """
        sent = list(messages)
        for message in sent:
            self.traffic.down[self.client_of(message)] += content_bytes(message.content)
        limit = self._timeout if timeout is None else min(timeout, self._timeout)
        replies = sorted(self._grid.send_and_receive(sent, timeout=limit), key=self.client_of)
        self._require_all(sent, replies, limit)
        for reply in replies:
            self.traffic.up[self.client_of(reply)] += content_bytes(reply.content)
        return replies

    def _require_all(self, sent: list[Message], replies: list[Message], limit: float) -> None:
        troubles = [f"client {self.client_of(r)}: {r.error.reason}" for r in replies if r.has_error()]
        silent = {self.client_of(m) for m in sent} - {self.client_of(r) for r in replies}
        troubles += [f"client {c}: no answer within timeout = {limit:g} s" for c in sorted(silent)]
        if troubles:
            raise InputError("\n".join(troubles))

    # What follows hands on to the grid underneath.

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
        """Nodes of the clients that take part, in the order of the clients."""
        return list(self.clients.values())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See `flwr.serverapp.Grid`."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `flwr.serverapp.Grid`."""
        return self._grid.pull_messages(message_ids)
