"""How a server comes to know its clients: who they are, how many, what they run, that they use one encoder."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from collab_asd import __version__
from collab_asd.core.errors import InputError, PublicError
from collab_asd.core.terminal import shortened
from collab_asd.federation.messages import HELLO, read_values, require_records
from collab_asd.federation.pseudonyms import MOST_CLIENTS
from collab_asd.wire.fields import Value

if TYPE_CHECKING:
    from collab_asd.federation.grid import SupervisedGrid

logger = logging.getLogger(__name__)
ClientRoster = Mapping[int, int | None]
"""Node ID -> which client has its key; None: nobody's that is known."""
PROTOCOL = 4
"""Counts changes after which messages are understood no more by the version before."""
NODES_SECONDS = 60.0
POLL_SECONDS = 0.05
TELL_SECONDS = 10.0
"""So long a run waits before it says for whom, and between two times that it does."""


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
    shown = {name: shortened(said, 40) for name, said in theirs.items()}
    if theirs != mine:
        raise PublicError(
            f"{who} runs collab-asd {shown['version']} (protocol {shown['protocol']}), {own} runs "
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
    absent : mapping of int to str
        Client number -> why it takes no part: it is not connected, or its greeting was refused.
    """

    clients: dict[int, int]
    private: bool = False
    absent: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    client: int
    clients: int
    private: bool


SAID = {
    "client": Value(int, 0, MOST_CLIENTS - 1),
    "clients": Value(int, 1, MOST_CLIENTS),
    "private": Value(bool),
    "version": Value(str, most=50),
    "protocol": Value(int),
}
"""What a client answers to a greeting."""


class MissingClients:
    """Says in the log which clients a run waits for, and again when there are fewer.

    Parameters
    ----------
    roster : mapping of int to (int or None), optional
        As of `meet_clients`; without one nothing is said.
    now : float
        Seconds, when the waiting begins.
    """

    def __init__(self, roster: ClientRoster | None, now: float) -> None:
        self._roster, self._told, self._due = roster or {}, set[int](), now + TELL_SECONDS

    def tell(self, nodes: Collection[int], now: float) -> None:
        """Name clients by their nodes, as the consortium does (``client-3``), if it is time to."""
        missing = {node for node in nodes if node in self._roster}
        if not missing or now < self._due or missing == self._told:
            return
        clients = {node: self._roster[node] for node in missing}
        names = sorted(f"SuperNode {node}" for node, client in clients.items() if client is None)
        numbers = sorted(client for client in clients.values() if client is not None)
        logger.info("still waiting for %s", ", ".join([*(f"client-{number}" for number in numbers), *names]))
        self._told, self._due = missing, now + TELL_SECONDS


def meet_clients(grid: Grid, min_clients: int, timeout: float, roster: ClientRoster | None = None) -> ConnectedClients:
    """Wait for the SuperNodes and ask each which client it is.

    A ServerApp may start before any node has registered, so those that are there are asked how many there will be. A
    deployment goes on with those that are connected a minute later, a simulation needs an answer of each, right or
    wrong. A node whose answer is wrong is left out.

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
        No node came, or fewer than `min_clients` are left.
    """
    answers: dict[int, _Answer] = {}
    refused: dict[int, str] = {}
    deadline = time.monotonic() + NODES_SECONDS
    missing = MissingClients(roster, time.monotonic())
    while len(answers) + len(refused) < _expected(answers, roster):
        new = sorted(set(grid.get_node_ids()) - answers.keys() - refused.keys())
        if not new or not (answered := _greet(grid, new, timeout)):
            if time.monotonic() > deadline:
                break
            missing.tell((roster or {}).keys() - answers.keys() - refused.keys(), time.monotonic())
            time.sleep(POLL_SECONDS)
            continue
        for node, answer in answered.items():
            if isinstance(answer, _Answer):
                answers[node] = answer
            else:
                refused[node] = answer
        _refuse(answers, refused, _untrue(answers, roster))
        deadline = time.monotonic() + NODES_SECONDS
        if answers and (expected := _expected(answers, roster)) < min_clients:
            raise InputError(_too_few(expected, min_clients, roster))
    expected = _expected(answers, roster)
    _refuse(answers, refused, _contradicting(answers, roster))
    reasons = "".join(f"\nSuperNode {node}: {why}" for node, why in refused.items())
    if not answers:
        raise InputError(f"no SuperNode has answered as it should within {NODES_SECONDS:.0f} s: start them{reasons}")
    private = any(answer.private for answer in answers.values())
    if len(answers) < min_clients or (not private and len(answers) + len(refused) < expected):
        raise InputError(
            f"{len(answers)} of {expected} SuperNodes are connected after {NODES_SECONDS:.0f} s: start the others"
            f"{reasons}"
        )
    nodes = {answer.client: node for node, answer in sorted(answers.items(), key=lambda item: item[1].client)}
    there = range(expected) if roster is None else sorted(c for c in roster.values() if c is not None)
    refusals = "; ".join(refused.values())
    why = {client: refusals or AWAY for client in there if client not in nodes}
    if roster is not None:
        why |= {c: refused.get(node, AWAY) for node, c in roster.items() if c in why}
    return ConnectedClients(nodes, private, why)


AWAY = "was not connected when the run began"


def _refuse(answers: dict[int, _Answer], refused: dict[int, str], reasons: Mapping[int, str]) -> None:
    """Leave nodes out."""
    for node, why in reasons.items():
        logger.warning("refused: SuperNode %d: %s", node, why)
        refused[node] = why
        answers.pop(node, None)


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


def _untrue(answers: Mapping[int, _Answer], roster: ClientRoster | None) -> dict[int, str]:
    """Find nodes that say that they are a client whose key another has."""
    return {
        node: f"says that it is client {answer.client}, whose key it has not"
        for node, answer in answers.items()
        if roster is not None
        and roster.get(node) != answer.client
        and not (roster.get(node) is None and answer.client not in roster.values())
    }


def _contradicting(answers: Mapping[int, _Answer], roster: ClientRoster | None) -> dict[int, str]:
    """Find nodes that say something else of all clients than most do, or that two of them are one client."""
    found: dict[int, str] = {}
    if not answers:
        return found
    if roster is None:
        expected = _expected(answers, roster)
        found |= {
            node: f"says that there are {answer.clients} clients, and most say {expected}"
            for node, answer in answers.items()
            if answer.clients != expected
        }
    private = Counter(answer.private for answer in answers.values()).most_common()
    usual = private[0][0] if len(private) < 2 or private[0][1] > private[1][1] else True
    found |= {
        node: "has no folder of its own, and others have: start every SuperNode with data-dir in its --node-config, "
        "or none"
        if usual
        else "has a folder of its own (data-dir in its --node-config), and most have none"
        for node, answer in answers.items()
        if answer.private != usual
    }
    held = Counter(answer.client for answer in answers.values())
    return found | {
        node: f"several SuperNodes say that they are client {answer.client}, or it is none of {answer.clients}: give "
        "each its own number (client in node.toml)"
        for node, answer in answers.items()
        if held[answer.client] > 1 or answer.client >= (MOST_CLIENTS if roster is not None else answer.clients)
    }


def _expected(answers: Mapping[int, _Answer], roster: ClientRoster | None) -> int:
    """Return how many clients there should be, as most say; one, as long as none has said."""
    if roster is not None:
        return len(roster)
    said = Counter(answer.clients for answer in answers.values())
    return max(said, key=lambda clients: (said[clients], clients), default=1)


LOST = {
    3: "the message was lost",
    4: "its answer was lost",
    5: "it is not connected any more",
    8: "its process ended",
}
"""Flower's codes of errors that say nothing about what a node would answer."""
ANSWER_LOST = 3, 4
"""Those of them that stand for an answer which was lost, in whole or in part."""


def greeting(node: int) -> Message:
    """Return what a node is greeted with."""
    return Message(RecordDict({"server": ConfigRecord(own_versions())}), node, HELLO)


def _greet(grid: Grid, nodes: Sequence[int], timeout: float) -> dict[int, _Answer | str]:
    """Greet nodes, and be told who they are, or read why an answer is refused; those that gave none are left out."""
    answers = dict[int, _Answer | str]()
    for reply in grid.send_and_receive([greeting(node) for node in nodes], timeout=timeout):
        node = reply.metadata.src_node_id
        if reply.has_error() and reply.error.code in LOST:
            who = f"SuperNode {node}" if node in nodes else "a SuperNode"  # where Flower answers in its place
            logger.warning("%s has not answered its greeting, and is greeted again: %s", who, LOST[reply.error.code])
            continue
        try:
            answers[node] = _answer(reply)
        except Exception as error:  # whatever a node answers is its own failure
            answers[node] = why = shortened(error)
            logger.warning("refused: SuperNode %d: %s", node, why)
    return answers


def _answer(reply: Message) -> _Answer:
    """Read the answer to a greeting.

    Raises
    ------
    ValueError
        It is none, or of another version.
    """
    if reply.has_error():
        raise ValueError(f"could not be greeted: {reply.error.reason}")
    require_records(reply.content, ["hello"])
    said = reply.content.config_records.get("hello", ConfigRecord())
    if any(name in said for name in own_versions()):  # a version that says other things is named first
        client = said.get("client")
        require_same_version(said, f"client {client}" if type(client) is int else "it", "the server")
    told = read_values(reply.content, "hello", SAID)
    return _Answer(told["client"], told["clients"], told["private"])


def exclude_other_encoders(grid: SupervisedGrid, digests: Mapping[int, str]) -> None:
    """Go on without clients, by number, whose encoder is not that of most.

    Raises
    ------
    InputError
        No encoder is that of more clients than any other: names two clients that differ. Or the rules exclude nobody.
    """
    (usual, votes), *others = Counter(digests.values()).most_common()
    if others and others[0][1] == votes:
        first, *rest = digests
        other = next(client for client in rest if digests[client] != digests[first])
        raise InputError(
            f"clients {first} and {other} use different encoders (digests {digests[first][:12]} and "
            f"{digests[other][:12]}): give all clients the same encoder, weights and key"
        )
    grid.exclude(
        {
            client: f"uses another encoder (digest {digest[:12]}) than most ({usual[:12]}): give it the same encoder, "
            "weights and key"
            for client, digest in digests.items()
            if digest != usual
        }
    )
