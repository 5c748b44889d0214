"""The server's half of federated averaging: statistics, rounds of a stock strategy per group, then the scores.

Each group of machines (each machine type) has a model of its own, as in embedding sharing, and its clients average it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict

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

from baselines.fedavg.algorithm import pooled_statistics, put_together, spread_out, start_model, take_apart
from baselines.fedavg.settings import settings_of
from collab_asd.config import RunConfig
from collab_asd.federation.actions import STATISTICS
from collab_asd.federation.classifiers import put_classifiers
from collab_asd.federation.grid import SupervisedGrid, require_same_encoder
from collab_asd.federation.records import from_record, to_record
from collab_asd.federation.scoring import ClientScores, ScoreRound
from collab_asd.federation.stopwatch import Stopwatch
from collab_asd.id_classifier.model import ClassifierSettings, IdClassifier
from collab_asd.interfaces import FloatArray
from collab_asd.seeding import derive

logger = logging.getLogger(__name__)


class KeepsBuffersApart(FedAvg):
    """Averages buffers plainly, whatever the strategy underneath does with weights; keeps directions with their owners.

    Set `buffers`, `settings` and `owners` before ``start``.
    """

    grid: SupervisedGrid
    buffers: ArrayRecord
    settings: ConfigRecord
    owners: dict[int, list[int]] | None

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
        return arrays, metrics

    def _own_directions(self, replies: list[Message], owners: dict[int, list[int]]) -> dict[int, FloatArray]:
        found: dict[int, FloatArray] = {}
        for reply in replies:
            directions = from_record(reply.content.array_records["arrays"])["directions"]
            for own in owners[self.grid.client_of(reply)]:
                found[own] = directions[:, own]
        return found


def _with_directions(arrays: ArrayRecord, own: dict[int, FloatArray]) -> ArrayRecord:
    """Put each class direction as its owner left it, then all of them farther apart (FedAwS)."""
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


class FederatedAveraging:
    """FedAvg and its kin on f_s; clients score with the last model, as under Algorithm 1.

    Parameters
    ----------
    config : RunConfig
        Its ``method`` names the stock strategy.
    """

    shares = True

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self.watch = Stopwatch()
        self.encoder_note = ""
        self._classifiers: dict[int, IdClassifier] = {}
        self._groups: dict[int, list[int]] = {}

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Train one model per group, and return the clients' scores."""
        with self.watch("embed"):
            facts = _ask(grid)
        self.encoder_note = str(next(iter(facts.values())).config_records["encoder"]["note"])
        for client, content in facts.items():
            self._groups[client] = sorted(int(name.split("/")[1]) for name in content.array_records)
        with self.watch("train"):
            for group in sorted({g for groups in self._groups.values() for g in groups}):
                members = {c: content for c, content in facts.items() if group in self._groups[c]}
                self._classifiers[group] = self._train(group, members, grid)
        with self.watch("score"):
            return ScoreRound(self._score_request).run(grid)

    def _train(self, group: int, members: dict[int, RecordDict], grid: SupervisedGrid) -> IdClassifier:
        config, head = self._config, self._config.class_head
        mean, deviation = pooled_statistics([from_record(m.array_records[f"sums/{group}"]) for m in members.values()])
        owners = {c: _held(m, group) for c, m in members.items()}
        settings = _classifier_settings(config, members, owners)
        model = start_model(settings, mean, deviation, head, derive(config.seed, "id-classifier", group))
        trained, buffers = take_apart(model)
        strategy = build_strategy(config.method, len(members))
        strategy.grid = grid.only(members)
        strategy.settings, strategy.buffers = ConfigRecord(asdict(settings)), to_record(buffers)
        strategy.owners = owners if head == "fedaws" else None
        result = strategy.start(
            strategy.grid,
            to_record(trained),
            num_rounds=settings_of(config).rounds,
            timeout=config.timeout,
            train_config=ConfigRecord({"group": group}),
        )
        logger.info("group %d: %d clients, %d rounds", group, len(members), settings_of(config).rounds)
        return put_together(settings, from_record(result.arrays), from_record(strategy.buffers))

    def _score_request(self, client: int) -> RecordDict:
        return put_classifiers(self._classifiers, self._groups[client])


def _ask(grid: SupervisedGrid) -> dict[int, RecordDict]:
    replies = grid.send_and_receive([Message(RecordDict(), node, STATISTICS) for node in grid.clients.values()])
    facts = {grid.client_of(reply): reply.content for reply in replies}
    require_same_encoder({c: str(content.config_records["encoder"]["digest"]) for c, content in facts.items()})
    return facts


def _held(content: RecordDict, group: int) -> list[int]:
    return [int(c) for c in content.config_records[f"classes/{group}"]["held"]]  # type: ignore[union-attr]


def _classifier_settings(
    config: RunConfig, members: dict[int, RecordDict], owners: dict[int, list[int]]
) -> ClassifierSettings:
    facts = next(iter(members.values())).config_records["encoder"]
    stack, hop, dimension = (int(str(facts[name])) for name in ("stack", "stack-hop", "dimension"))
    classes = 1 + max(c for held in owners.values() for c in held)
    return ClassifierSettings(settings_of(config).training.backbone, dimension, stack, hop, classes)
