"""The server's half of federated averaging: rounds of one of Flower's stock strategies."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

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
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

from baselines.client_training.settings import CLASS_CLIPS, settings_of
from baselines.client_training.strategy import ClientTraining, Group
from baselines.fedavg.algorithm import put_together, spread_out, take_apart
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.records import from_record, to_record
from collab_asd.id_classifier.model import IdClassifier
from collab_asd.interfaces import FloatArray
from collab_asd.progress import Advance, step

logger = logging.getLogger(__name__)


class KeepsBuffersApart(FedAvg):
    """Averages buffers plainly, whatever the strategy underneath does with weights; keeps directions with their owners.

    Set `buffers`, `settings`, `owners` and `on_round`, which is called after each round, before ``start``.
    """

    grid: SupervisedGrid
    buffers: ArrayRecord
    settings: ConfigRecord
    owners: Mapping[int, list[int]] | None
    on_round: Advance

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Add what the strategy underneath does not know of."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            message.content["buffers"] = self.buffers
            message.content["settings"] = self.settings
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the buffers; leave the rest to the strategy underneath."""
        replies = list(replies)
        apart = [RecordDict({"buffers": r.content.pop("buffers"), "metrics": r.content["metrics"]}) for r in replies]
        self.buffers = aggregate_arrayrecords(apart, self.weighted_by_key)
        own = {} if self.owners is None else self._own_directions(replies, self.owners)
        arrays, metrics = super().aggregate_train(server_round, replies)
        if arrays is not None and own:
            arrays = _with_directions(arrays, own)
        self.on_round()
        return arrays, metrics

    def _own_directions(self, replies: list[Message], owners: Mapping[int, list[int]]) -> dict[int, FloatArray]:
        found: dict[int, list[FloatArray]] = {}
        for reply in replies:
            directions = from_record(reply.content.array_records["arrays"])["directions"]
            for own in owners[self.grid.client_of(reply)]:
                found.setdefault(own, []).append(directions[:, own])
        return {own: np.mean(directions, axis=0) for own, directions in found.items()}


def _with_directions(arrays: ArrayRecord, own: dict[int, FloatArray]) -> ArrayRecord:
    """Put each class direction as its owners left it, then all of them farther apart (FedAwS)."""
    values = from_record(arrays)
    directions = values["directions"].copy()
    for column, direction in own.items():
        directions[:, column] = direction
    return to_record({**values, "directions": spread_out(directions)})


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


def build_strategy(name: str, clients: int) -> KeepsBuffersApart:
    """Build a stock strategy over all of some clients."""
    strategy = type(STOCK[name].__name__, (KeepsBuffersApart, STOCK[name]), {})
    built: KeepsBuffersApart = strategy(
        fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients, **OPTIONS.get(name, {})
    )
    return built


class FederatedAveraging(ClientTraining):
    """FedAvg and its kin on f_s; the configured ``method`` names the stock strategy."""

    def train(self, group: Group, grid: SupervisedGrid) -> IdClassifier:
        """See `ClientTraining`."""
        settings = group.start.settings
        trained, buffers = take_apart(group.start)
        strategy = build_strategy(self.config.method, len(group.owners))
        strategy.grid = grid
        strategy.settings, strategy.buffers = ConfigRecord(settings.to_plain()), to_record(buffers)
        strategy.owners = group.owners if self.config.class_head == "fedaws" else None
        rounds = settings_of(self.config).rounds
        with step(f"group {group.number}: rounds", rounds, even=True) as strategy.on_round:
            result = strategy.start(
                grid,
                to_record(trained),
                num_rounds=rounds,
                timeout=self.config.timeout,
                train_config=ConfigRecord({"group": group.number, CLASS_CLIPS: group.class_clips}),
            )
        logger.info("group %d: %d clients, %d rounds", group.number, len(group.owners), rounds)
        return put_together(settings, from_record(result.arrays), from_record(strategy.buffers))
