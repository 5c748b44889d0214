"""How a server comes to know its clients: who they are, how many, and that they use one encoder."""

from __future__ import annotations

import time
from collections.abc import Mapping

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from collab_asd.errors import InputError
from collab_asd.federation.actions import HELLO

FIRST_NODE_SECONDS = 60.0


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
