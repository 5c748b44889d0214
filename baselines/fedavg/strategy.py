"""The server's half of federated averaging: rounds of one of Flower's stock strategies."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
)

from baselines.client_training.rounds import CLASS_CLIPS, settings_of
from baselines.client_training.strategy import ClientTraining, Group
from baselines.fedavg.algorithm import put_together, spread_out, take_apart, weighted_mean
from collab_asd.classifier.model import IdClassifier
from collab_asd.core.progress import Advance, step
from collab_asd.core.types import FloatArray
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import from_record, read_arrays, read_values, require_records, to_record
from collab_asd.wire.fields import Value, fields_like

logger = logging.getLogger(__name__)
STOCK: dict[str, type[FedAvg]] = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "fedavgm": FedAvgM,
    "fedmedian": FedMedian,
    "fedtrimmedavg": FedTrimmedAvg,
    "fedadagrad": FedAdagrad,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
}
# Server learning rates of the adaptive ones: their default of 0.1 moves every weight by a tenth in each round.
OPTIONS: dict[str, dict[str, float]] = {
    "fedprox": {"proximal_mu": 0.1},
    "fedadagrad": {"eta": 0.01},
    "fedadam": {"eta": 0.01},
    "fedyogi": {"eta": 0.01},
}


class GroupAveraging(FedAvg):
    """Trains the model of one group as the stock strategy underneath does, and averages buffers plainly.

    A mixin, to stand before any stock strategy: see `build_strategy`.

    Parameters
    ----------
    group : Group
    owners : mapping of int to list of int, optional
        Node ID -> the classes that it holds: for FedAwS, which keeps each class direction as its owners left it.
    on_round : callable, optional
        Called after each round.
    **options
        Of the stock strategy.
    """

    def __init__(
        self,
        group: Group,
        owners: Mapping[int, Sequence[int]] | None = None,
        on_round: Advance = lambda: None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        trained, buffers = take_apart(group.start)
        self.start_arrays, self._buffers = to_record(trained), to_record(buffers)
        self._settings, self._owners = group.start.settings, owners
        self._on_round = on_round

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Add what the strategy underneath does not know of."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            message.content["buffers"] = self._buffers
            message.content["settings"] = ConfigRecord(self._settings.to_plain())
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the buffers; leave the rest to the strategy underneath."""
        replies = list(replies)
        buffers = [from_record(cast(ArrayRecord, reply.content.pop("buffers"))) for reply in replies]
        clips = [cast(float, reply.content.metric_records["metrics"][self.weighted_by_key]) for reply in replies]
        self._buffers = to_record(weighted_mean(buffers, clips))
        arrays, metrics = super().aggregate_train(server_round, replies)
        if arrays is not None and self._owners is not None:
            arrays = _with_directions(arrays, _directions_of_owners(replies, self._owners))
        self._on_round()
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for nothing: the clients score once, when all groups are trained."""
        return []

    def classifier(self, arrays: ArrayRecord) -> IdClassifier:
        """Put trained weights and averaged buffers together."""
        return put_together(self._settings, from_record(arrays), from_record(self._buffers))


def _directions_of_owners(replies: Sequence[Message], owners: Mapping[int, Sequence[int]]) -> dict[int, FloatArray]:
    """Return the direction of each class, on average over the clients that hold it."""
    found: dict[int, list[FloatArray]] = {}
    for reply in replies:
        directions = from_record(reply.content.array_records["arrays"])["directions"]
        for own in owners[reply.metadata.src_node_id]:
            found.setdefault(own, []).append(directions[:, own])
    return {own: np.mean(directions, axis=0) for own, directions in found.items()}


def _with_directions(arrays: ArrayRecord, own: dict[int, FloatArray]) -> ArrayRecord:
    """Put each class direction as its owners left it, then all of them farther apart (FedAwS)."""
    values = from_record(arrays)
    directions = values["directions"].copy()
    for column, direction in own.items():
        directions[:, column] = direction
    return to_record({**values, "directions": spread_out(directions)})


def build_strategy(
    name: str,
    group: Group,
    owners: Mapping[int, Sequence[int]] | None = None,
    on_round: Advance = lambda: None,
) -> GroupAveraging:
    """Build a stock strategy over all clients of a group; `owners` and `on_round` as of `GroupAveraging`."""
    strategy = type(STOCK[name].__name__, (GroupAveraging, STOCK[name]), {})
    clients = len(group.owners)
    options = {"min_train_nodes": clients, "min_available_nodes": clients, **OPTIONS.get(name, {})}
    built: GroupAveraging = strategy(group, owners, on_round, **options)
    return built


class FederatedAveraging(ClientTraining):
    """FedAvg and its kin on the ID classifier; the configured ``method`` names the stock strategy."""

    def require_valid_training(self, client: int, content: RecordDict) -> None:
        """See `ClientTraining`."""
        require_records(content, ["arrays", "buffers", "metrics"])
        for name, fields in zip(("arrays", "buffers"), self._fields, strict=True):
            read_arrays(content, name, fields)
        clips = self._group.clips[client]
        read_values(content, "metrics", {"num-examples": Value(int, clips, clips), "loss": Value(float)})

    def train(self, group: Group, grid: SupervisedGrid) -> IdClassifier:
        """Run the stock strategy with the clients of one group."""
        self._group, own_directions = group, self.config.class_head == "fedaws"
        self._fields = [fields_like(arrays) for arrays in take_apart(group.start)]
        owners = {grid.clients[client]: held for client, held in group.owners.items()} if own_directions else None
        rounds = settings_of(self.config).rounds
        request = ConfigRecord({"group": group.number, CLASS_CLIPS: group.class_clips})
        with step(f"group {group.number}: rounds", rounds, even=True) as advance:
            strategy = build_strategy(self.config.method, group, owners, advance)
            result = strategy.start(
                grid, strategy.start_arrays, num_rounds=rounds, timeout=self.config.timeout, train_config=request
            )
        logger.info("group %d: %d clients, %d rounds", group.number, len(group.owners), rounds)
        return strategy.classifier(result.arrays)
