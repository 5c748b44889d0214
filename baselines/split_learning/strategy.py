"""The server's half of split learning: whose turn it is, and a step of its own half for each batch that comes.

``split-learning`` is sequential: client after client, the first stage handed on. ``splitfed`` is parallel: all clients
start a round with the same first stage, which is averaged at its end. There a step has one batch of each client, and
``server-batches`` says what the server learns from: ``apart``, one after the other (SplitFedV2 of Thapa et al.), or
``joined``, all as one batch, in which ArcFace then sees several classes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from flwr.app import ConfigRecord, Message, RecordDict
from torch import Tensor

from baselines.client_training.settings import CLASS_CLIPS, settings_of
from baselines.client_training.strategy import ClientTraining, Group
from baselines.split_learning.algorithm import Arrays, ServerHalf, averaged, first_baton, unpack
from baselines.split_learning.settings import require_possible
from collab_asd.config import RunConfig
from collab_asd.federation.actions import SPLIT
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.records import from_record, to_record
from collab_asd.id_classifier.batches import Labels
from collab_asd.id_classifier.model import IdClassifier
from collab_asd.progress import step

logger = logging.getLogger(__name__)
SPLIT_METHODS = ("split-learning", "splitfed")


class SplitLearning(ClientTraining):
    """Split learning of f_s, sequential or parallel by the configured ``method``.

    Raises
    ------
    InputError
        The encoder does not give maps, or the head is one for averaging.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        require_possible(config)

    def train(self, group: Group, grid: SupervisedGrid) -> IdClassifier:
        """See `ClientTraining`."""
        settings = settings_of(self.config)
        baton = first_baton(group.start)
        server = ServerHalf(group.start, settings.training)
        clients = list(grid.clients)
        together = [clients] if self.config.method == "splitfed" else [[client] for client in clients]
        with step(f"group {group.number}: rounds", settings.rounds, even=True) as advance:
            for server_round in range(1, settings.rounds + 1):
                for some in together:
                    turn = _Turn(group, server_round, self.config.server_batches == "joined")
                    baton = turn.run(grid.only(some), server, baton)
                advance()
        logger.info("group %d: %d clients, %d rounds", group.number, len(clients), settings.rounds)
        return server.finish(baton)


class _Turn:
    """One round of some clients at once."""

    def __init__(self, group: Group, server_round: int, joined: bool) -> None:
        self._group, self._round, self._joined = group, server_round, joined

    def run(self, grid: SupervisedGrid, server: ServerHalf, baton: Arrays) -> Arrays:
        """Take the clients through their batches; return the average of their batons."""
        done: list[RecordDict] = []
        asked = {client: self._beginning(baton) for client in grid.clients}
        step = 0
        while asked:
            replies = self._ask(grid, asked, step)
            done += [content for content in replies.values() if "baton" in content]
            at_work = {client: content for client, content in replies.items() if "activations" in content}
            sent = [unpack(from_record(content.array_records["activations"])) for content in at_work.values()]
            asked = {
                client: RecordDict({"gradient": to_record({"gradient": gradient.numpy()})})
                for client, gradient in zip(at_work, self._learn(server, sent), strict=True)
            }
            step += 1
        weights = [float(str(content.metric_records["metrics"]["num-examples"])) for content in done]
        return averaged([from_record(content.array_records["baton"]) for content in done], weights)

    def _beginning(self, baton: Arrays) -> RecordDict:
        start = self._group.start
        standardisation = {"mean": start.mean.numpy(), "scale": start.scale.numpy()}
        return RecordDict(
            {
                "settings": ConfigRecord(start.settings.to_plain()),
                "budget": ConfigRecord({CLASS_CLIPS: self._group.class_clips}),
                "standardisation": to_record(standardisation),
                "baton": to_record(baton),
            }
        )

    def _ask(self, grid: SupervisedGrid, asked: Mapping[int, RecordDict], step: int) -> dict[int, RecordDict]:
        for content in asked.values():
            content["turn"] = ConfigRecord({"group": self._group.number, "server_round": self._round, "step": step})
        messages = [Message(content, grid.clients[client], SPLIT) for client, content in asked.items()]
        return {grid.client_of(reply): reply.content for reply in grid.send_and_receive(messages)}

    def _learn(self, server: ServerHalf, sent: Sequence[tuple[Tensor, Labels]]) -> list[Tensor]:
        """Return the gradients, in the order of the clients."""
        if self._joined and sent:
            return server.step([activations for activations, _ in sent], [labels for _, labels in sent])
        return [gradient for one in sent for gradient in server.step([one[0]], [one[1]])]
