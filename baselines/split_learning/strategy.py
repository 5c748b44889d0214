"""The server's half of split learning: whose turn it is, and a step of its own half for each batch that comes.

``split-learning`` is sequential: client after client, the first stage handed on. ``splitfed`` is parallel: all clients
start a round with the same first stage, which is averaged at its end. There a step has one batch of each client, and
``server-batches`` says what the server learns from: ``apart``, one after the other (SplitFedV2 of Thapa et al.), or
``joined``, all as one batch, in which ArcFace then sees several classes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count, takewhile

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from baselines.client_training.rounds import CLASS_CLIPS, settings_of
from baselines.client_training.strategy import ClientTraining, Group
from baselines.split_learning.algorithm import (
    STAGE_STATE,
    Arrays,
    ServerHalf,
    activation_shape,
    averaged,
    finished_stage_state,
    first_stage_state,
    unpack,
)
from collab_asd.classifier.model import IdClassifier
from collab_asd.classifier.training import Labels
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.progress import step
from collab_asd.core.runtime import resolve_device
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import (
    SPLIT,
    arrays_in,
    read_arrays,
    read_values,
    require_records,
    to_record,
)
from collab_asd.wire.fields import Numbers, Value, fields_like

logger = logging.getLogger(__name__)


class SplitLearning(ClientTraining):
    """Split learning of the ID classifier, sequential or parallel by the configured ``method``.

    A Flower round is one exchange: every client whose turn it is sends its next batch and gets back the gradient of it.

    Raises
    ------
    InputError
        The head is one for averaging.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        if config.class_head == "fedaws":
            raise InputError(f"class-head = 'fedaws' is for averaging; for {config.method} choose naive or anchors")
        self._requests: dict[int, RecordDict] = {}

    def train(self, group: Group, grid: SupervisedGrid) -> IdClassifier:
        """Take the clients of one group through their turns, round by round."""
        settings, clients = settings_of(self.config), list(grid.clients)
        together = [clients] if self.config.method == "splitfed" else [[client] for client in clients]
        self.grid, self._group, self._training = grid, group, settings.training
        self._constants = RecordDict(
            {
                "settings": ConfigRecord(group.start.settings.to_plain()),
                "budget": ConfigRecord({CLASS_CLIPS: group.class_clips}),
                "standardisation": to_record({"mean": group.start.mean.numpy(), "scale": group.start.scale.numpy()}),
            }
        )
        self._activation_shape = activation_shape(group.start)
        self._finished_fields = fields_like(finished_stage_state(group.start, settings.training))
        start = group.start.to(resolve_device(self.config.device))
        self._server, self._stage = ServerHalf(start, settings.training), first_stage_state(start)
        self._turns = deque(
            (training_round, some) for training_round in range(1, settings.rounds + 1) for some in together
        )
        with step(f"group {group.number}: turns", len(self._turns), even=True) as self._advance:
            self._begin_turn()
            for exchange in takewhile(lambda _: self._requests, count(1)):
                requests = self.configure_train(exchange, ArrayRecord(), ConfigRecord(), grid)
                self.aggregate_train(exchange, grid.send_and_receive(requests))
        logger.info("group %d: %d clients, %d rounds", group.number, len(clients), settings.rounds)
        return self._server.finish(self._stage)

    def require_valid_training(self, client: int, content: RecordDict) -> None:
        """See `ClientTraining`."""
        group, training = self._group, self._training
        clips, classes = group.clips[client], group.owners[client]
        if STAGE_STATE in content:
            require_records(content, [STAGE_STATE, "metrics"])
            read_values(content, "metrics", {"num-examples": Value(int, clips, clips)})
            read_arrays(content, STAGE_STATE, self._finished_fields)
            return
        require_records(content, ["activations"])
        labels = Numbers("int32", (None,), 0, len(group.class_clips) - 1)
        arrays = read_arrays(
            content,
            "activations",
            {
                "activations": Numbers("float32", (None, *self._activation_shape), -1e6, 1e6),
                "own": labels,
                "partners": labels,
                "share": Numbers("float64", (), 0, 1),
            },
        )
        windows = max(group.frames[client] + clips, (training.windows_per_class or 0) * len(classes))
        if not 1 <= len(arrays["own"]) <= 2 * training.batch or self._step > windows // training.batch + 1:
            raise ValueError("its batch is empty or too large, or it sends more batches than its clips make")
        if len({len(arrays[name]) for name in ("activations", "own", "partners")}) > 1:
            raise ValueError("its activations and their classes do not fit together")
        if not {*arrays["own"].tolist(), *arrays["partners"].tolist()} <= set(classes):
            raise ValueError("its batch is of classes that are not its own")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client whose turn it is the first stage to begin with, and then the gradient of its last batch."""
        for client, content in self._requests.items():
            content["turn"] = ConfigRecord(
                {"group": self._group.number, "server_round": self._training_round, "step": self._step}
            )
            yield Message(content, self.grid.clients[client], SPLIT)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[None, None]:
        """Train the server's half on the batches that came; when a turn is over, average the first stages."""
        contents = {self.grid.client_of(reply): reply.content for reply in replies}
        self._finished += [content for content in contents.values() if STAGE_STATE in content]
        batches = {
            client: unpack(arrays_in(content, "activations"))
            for client, content in contents.items()
            if "activations" in content
        }
        gradients = self._learn(list(batches.values()))
        self._requests = {
            client: RecordDict({"gradient": to_record({"gradient": gradient.numpy()})})
            for client, gradient in zip(batches, gradients, strict=True)
        }
        self._step += 1
        if contents and not self._requests:
            self._stage = _average(self._finished)
            self._advance()
            self._begin_turn()
        return None, None

    def _begin_turn(self) -> None:
        """Hand the first stage on to the clients whose turn is next, if there is one."""
        self._step, self._finished = 0, list[RecordDict]()
        if self._turns:
            self._training_round, clients = self._turns.popleft()
            stage = to_record(self._stage)
            self._requests = {client: RecordDict({**self._constants, STAGE_STATE: stage}) for client in clients}

    def _learn(self, batches: Sequence[tuple[Tensor, Labels]]) -> list[Tensor]:
        """Return the gradients with respect to what the clients sent, in their order."""
        if self.config.server_batches == "joined" and batches:
            return self._server.step([activations for activations, _ in batches], [labels for _, labels in batches])
        return [gradient for one in batches for gradient in self._server.step([one[0]], [one[1]])]


def _average(finished: Sequence[RecordDict]) -> Arrays:
    """Average what clients have made of the first stage by their numbers of clips."""
    weights = [float(str(content["metrics"]["num-examples"])) for content in finished]
    return averaged([arrays_in(content, STAGE_STATE) for content in finished], weights)
