"""The server's half of covariance sharing, as a Flower strategy: it adds integers, and checks what it adds.

Round 1 brings degrees of freedom and sums of squares, round 2 standardised scatter matrices. Then the clients score.
A client that fails before the sums are complete is excluded, and the others are asked again: its part is in nothing
that they get. Later its matrix stays in the sums.

Clients may join an earlier run (`state`): the newcomers alone send matrices, in units of the earlier run's variances.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from collab_asd.config import RunConfig
from collab_asd.core.runtime import Stopwatch
from collab_asd.detection.second_order import FEATURES_DIGEST
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import (
    SCATTER,
    SCORE,
    VARIANCES,
    groups_of_sums,
    put_sums,
    read_sums,
    read_values,
    require_records,
)
from collab_asd.federation.scoring import ClientScores, ScoreGathering
from collab_asd.methods.covariance_sharing.state import KEPT, Group, Member, ServerState
from collab_asd.methods.covariance_sharing.sums import (
    read_part,
    require_valid_scatter,
    require_valid_variances,
    total,
)
from collab_asd.wire.fields import Value

logger = logging.getLogger(__name__)
ROUNDS = (VARIANCES, SCATTER)
WARNING = (
    "covariance sharing: the server sees each client's matrix, and whoever sees one and holds a recording can tell "
    "whether it is in it (docs/privacy.md)"
)


class ClientLostError(Exception):
    """A client was lost before the sums were complete."""


class CovarianceSharing(ScoreGathering):
    """Adds up what the clients say of how their machines vary.

    Parameters
    ----------
    earlier : ServerState, optional
        What an earlier run has added up, for clients that join it.
    retain : bool
        Keep each client's own part after the run, so that it can be taken out when the client leaves.
    """

    tolerates_exclusion = True
    encoder_note = "log-mel spectra, whatever the encoder; each client sent sums over its own clips"

    def __init__(self, earlier: ServerState | None = None, retain: bool = False) -> None:
        self.earlier, self.retain, self.watch = earlier or ServerState(), retain, Stopwatch()
        self.members: dict[int, Member] = {}
        self.groups: dict[int, Group] = {}

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Add up, and return the clients' scores."""
        logger.warning(WARNING)
        with self.watch("share and score"):
            while True:
                try:
                    self.conduct(grid, len(ROUNDS))
                    break
                except ClientLostError:
                    logger.warning("the others are asked for their sums again")
        if grid.folder is not None:
            self._state.save(grid.folder / KEPT, self.retain)
        return self.scores

    def check_reply(self, client: int, request: Message, reply: Message) -> None:
        """See `ScoreGathering`."""
        kind, content = request.metadata.message_type, reply.content
        if kind == VARIANCES:
            read_member(content)
        elif kind == SCATTER:
            require_sums(content, self.members[client].parts)
            for group, announced in self.members[client].parts.items():
                require_valid_scatter(read_part(*read_sums(content, group)), announced, self.groups[group].bits)
        else:
            super().check_reply(client, request, reply)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask each client for its part of this round's sums; for matrices only those whose are not known yet."""
        kind = ROUNDS[server_round - 1]
        for client, node in list(self.grid.clients.items()):
            if kind != SCATTER or self._is_new(client):
                yield Message(self._known(client, kind), node, kind)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[None, MetricRecord]:
        """Add up.

        Raises
        ------
        ClientLostError
            A client was lost whose part the others were told of.
        """
        answers = {self.grid.client_of(reply): reply.content for reply in replies}
        if server_round == 1:
            self.members = {client: read_member(content) for client, content in answers.items()}
            self._begin()
        elif set(self.grid.clients) < self.members.keys():
            raise ClientLostError
        else:
            for client, content in answers.items():
                parts = {g: read_part(*read_sums(content, g)) for g in self.members[client].parts}
                self.members[client] = replace(self.members[client], parts=parts)
                for g, part in parts.items():
                    self.groups[g] = self.groups[g].plus(part)
        return None, MetricRecord({"clients": len(answers)})

    def score_request(self, client: int) -> RecordDict:
        """Send all sums of the client's groups."""
        return self._known(client, SCORE)

    def _known(self, client: int, kind: str) -> RecordDict:
        """Lay out what is known of the client's groups when a question is asked."""
        content = RecordDict()
        for g in self.members[client].parts if kind != VARIANCES else ():
            group = self.groups[g]
            is_included = g not in self.earlier.groups or self._before(client, g)
            known = replace(group.total, squares=group.first.squares)
            if kind == SCATTER:
                known = replace(known, scatter=None)
            facts = {"bits": group.bits, "squares-dof": group.first.dof, "is-included": is_included}
            put_sums(content, g, known.facts | facts, known.arrays)
        return content

    def _begin(self) -> None:
        """Begin each group's sums: from nothing, or from the earlier run's without those who have left."""
        self.groups = dict(self.earlier.groups)
        present = {member.clips for member in self.members.values()}
        for clips, member in self.earlier.members.items():
            for g, part in member.parts.items() if clips not in present else ():
                if part.scatter is not None:
                    self.groups[g] = self.groups[g].minus(part)
        for g in {g for member in self.members.values() for g in member.parts} - self.groups.keys():
            self.groups[g] = Group.begin(total(m.parts[g] for m in self.members.values() if g in m.parts))
        if self.earlier.groups and not any(map(self._is_new, self.members)):
            logger.info("join: every client took part in the earlier run")

    def _is_new(self, client: int) -> bool:
        return self.members[client].clips not in self.earlier.members

    def _before(self, client: int, group: int) -> bool:
        before = self.earlier.members.get(self.members[client].clips)
        return before is not None and group in before.included

    @property
    def _state(self) -> ServerState:
        """What the server knows after the run."""
        own = {}
        for client, member in self.members.items():
            before = self.earlier.members.get(member.clips)
            included = {g for g in member.parts if g not in self.earlier.groups or self._before(client, g)}
            own[member.clips] = before or replace(member, included=frozenset(included))
        gone = {c: m for c, m in self.earlier.members.items() if not m.is_retained}
        return ServerState(self.groups, gone | own)


def read_member(content: RecordDict) -> Member:
    """Read what a client says in the first round.

    Raises
    ------
    ValueError
        It is of another version, or cannot be.
    """
    parts = {group: read_part(*read_sums(content, group)) for group in groups_of_sums(content)}
    require_sums(content, parts, "client")
    told = read_values(content, "client", {"features": Value(str), "clips": Value(str)})
    if (features := told["features"]) != FEATURES_DIGEST:
        raise ValueError(
            f"its features are defined otherwise (digest {features[:12]}, here {FEATURES_DIGEST[:12]}): install the "
            "same version of collab-asd"
        )
    if not parts:
        raise ValueError("it has no machine")
    for part in parts.values():
        require_valid_variances(part)
    return Member(told["clips"], parts)


def require_sums(content: RecordDict, groups: Iterable[int], *others: str) -> None:
    """Refuse a message with other records than the sums of some groups, and some others.

    Raises
    ------
    ValueError
        Names the first.
    """
    require_records(content, [*(f"{record}/{group}" for group in groups for record in ("facts", "sums")), *others])


def build_strategy(config: RunConfig) -> CovarianceSharing:
    """Build the strategy; where an earlier run is to be joined, the one that goes on from it."""
    earlier = ServerState.load(Path(config.join).expanduser() / KEPT) if config.join else None
    return CovarianceSharing(earlier, config.retain_embeddings)
