"""How a server comes to know its clients: who they are, how many, what they run, that they use one encoder."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from collab_asd import __version__
from collab_asd.core.errors import InputError, PublicError
from collab_asd.federation.messages import HELLO
from collab_asd.federation.pseudonyms import MOST_CLIENTS

logger = logging.getLogger(__name__)
ClientRoster = Mapping[int, int | None]
"""Node ID -> which client has its key; None: nobody's that is known."""
PROTOCOL = 3
"""Counts changes after which messages are understood no more by the version before."""
NODES_SECONDS = 60.0
POLL_SECONDS = 0.05


def own_versions() -> dict[str, Any]:
    """Return what each side tells the other when they meet."""
    return {"version": __version__, "protocol": PROTOCOL}


def require_same_version(other: Mapping[str, object], who: str, own: str) -> None:
    """Refuse a side that runs another version.

    Parameters
    ----------
    other : mapping
        What it said of itself.
    who, own : str
        It, and this side: ``"the server"``, ``"client 2"``.

    Raises
    ------
    PublicError
        Names both versions.
    """
    mine = own_versions()
    theirs = {name: other.get(name, "unknown") for name in mine}
    if theirs != mine:
        raise PublicError(
            f"{who} runs collab-asd {theirs['version']} (protocol {theirs['protocol']}), {own} runs "
            f"{mine['version']} (protocol {mine['protocol']}): install the same version at both"
        )


@dataclass(frozen=True)
class ConnectedClients:
    """Who came.

    Parameters
    ----------
    clients : dict
        Client number -> node ID, in the order of the clients.
    private : bool
        Whether the clients have folders of their own, as in a deployment, which the server cannot read.
    absent : tuple of int
        Clients of a deployment that are not connected.
    """

    clients: dict[int, int]
    private: bool = False
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Answer:
    client: int
    clients: int
    private: bool


def meet_clients(grid: Grid, min_clients: int, timeout: float, roster: ClientRoster | None = None) -> ConnectedClients:
    """Wait for the SuperNodes and ask each which client it is.

    A ServerApp may start before any node has registered, so those that are there are asked how many there will be. A
    deployment goes on with those that are connected a minute later, a simulation needs them all.

    Parameters
    ----------
    grid : Grid
    min_clients : int
    timeout : float
        Seconds to wait for answers.
    roster : mapping of int to (int or None), optional
        Node ID -> which client has its key, where that is known: who says otherwise is left out.

    Raises
    ------
    InputError
        No node came, or fewer than `min_clients`; or they run other versions, or two say that they are one client.
    """
    answers: dict[int, _Answer] = {}
    refused: set[int] = set()
    deadline = time.monotonic() + NODES_SECONDS
    while len(answers) + len(refused) < _expected(answers, roster):
        new = sorted(set(grid.get_node_ids()) - answers.keys() - refused)
        if not new or not (answered := _greet(grid, new, timeout)):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
            continue
        refused |= {node for node, answer in answered.items() if not _is_true(node, answer, roster)}
        answers |= {node: answer for node, answer in answered.items() if node not in refused}
        deadline = time.monotonic() + NODES_SECONDS
        if answers and (expected := _expected(answers, roster)) < min_clients:
            raise InputError(_too_few(expected, min_clients, roster))
    if not answers:
        raise InputError(f"no SuperNode has answered within {NODES_SECONDS:.0f} s: start them")
    expected, private = _expected(answers, roster), any(answer.private for answer in answers.values())
    if len(answers) < (min_clients if private else expected):
        raise InputError(
            f"{len(answers)} of {expected} SuperNodes are connected after {NODES_SECONDS:.0f} s: start the others"
        )
    if shared := sorted(answer.client for answer in answers.values() if private and not answer.private):
        raise InputError(
            f"clients {', '.join(map(str, shared))} have no folder of their own, and others have: start every "
            "SuperNode with data-dir in its --node-config, or none"
        )
    clients = _numbered(answers)
    if not private:
        return ConnectedClients(clients)
    there = range(expected) if roster is None else sorted(c for c in roster.values() if c is not None)
    return ConnectedClients(clients, private, tuple(client for client in there if client not in clients))


def _too_few(expected: int, min_clients: int, roster: ClientRoster | None) -> str:
    if roster is not None:
        return (
            f"{expected} clients may connect and min-clients = {min_clients}: put the keys of the others into nodes/ "
            "(collab-asd deploy status says who is missing), or lower min-clients in server.toml"
        )
    return (
        f"this federation has {expected} SuperNodes and min-clients = {min_clients}: start the run with "
        f'--federation-config "num-supernodes={min_clients}", or lower min-clients'
    )


def _is_true(node: int, answer: _Answer, roster: ClientRoster | None) -> bool:
    """Whether a node is the client that it says it is, as far as that is known."""
    true = (
        roster is None
        or roster.get(node) == answer.client
        or (roster.get(node) is None and answer.client not in roster.values())
    )
    if not true:
        logger.warning("refused: SuperNode %d says that it is client %d, whose key it has not", node, answer.client)
    return true


def _expected(answers: Mapping[int, _Answer], roster: ClientRoster | None) -> int:
    """Return how many clients there should be; one, as long as none has said."""
    if roster is not None:
        return len(roster)
    return max((answer.clients for answer in answers.values()), default=1)


def _greet(grid: Grid, nodes: Sequence[int], timeout: float) -> dict[int, _Answer]:
    """Greet nodes, and be told who they are; silent ones are left out."""
    mine, answers = ConfigRecord(own_versions()), {}
    for reply in grid.send_and_receive(
        [Message(RecordDict({"server": mine}), node, HELLO) for node in nodes], timeout=timeout
    ):
        node = reply.metadata.src_node_id
        if reply.has_error():
            raise InputError(f"SuperNode {node} could not be greeted: {reply.error.reason}")
        said = reply.content.config_records["hello"]
        client, clients = int(str(said["client"])), int(str(said["clients"]))
        require_same_version(said, f"client {client}", "the server")
        if clients > MOST_CLIENTS:
            raise InputError(f"client {client} says that there are {clients} clients: at most {MOST_CLIENTS}")
        answers[node] = _Answer(client, clients, bool(said["private"]))
    return answers


def _numbered(answers: Mapping[int, _Answer]) -> dict[int, int]:
    """Return client number -> node ID."""
    clients: dict[int, int] = {}
    for node, answer in sorted(answers.items(), key=lambda item: item[1].client):
        if answer.client in clients or not 0 <= answer.client < answer.clients:
            raise InputError(
                f"two SuperNodes say that they are client {answer.client}, or it is none of {answer.clients}: give "
                "each its own number (client in node.toml)"
            )
        clients[answer.client] = node
    return clients


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
