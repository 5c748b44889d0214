"""The server's half of federated averaging: statistics, rounds of a stock strategy per group, then the scores.

Each group of machines (each machine type) has a model of its own, as in embedding sharing, and its clients average it.
"""

from __future__ import annotations

import logging
from dataclasses import asdict

from flwr.app import ConfigRecord, Message, RecordDict

from baselines.fedavg.algorithm import pooled_statistics, put_together, start_model, take_apart
from baselines.fedavg.averaging import build_strategy
from baselines.fedavg.settings import settings_of
from collab_asd.config import RunConfig
from collab_asd.federation.actions import STATISTICS
from collab_asd.federation.classifiers import put_classifiers
from collab_asd.federation.grid import SupervisedGrid, require_same_encoder
from collab_asd.federation.records import from_record, to_record
from collab_asd.federation.scoring import ClientScores, ScoreRound
from collab_asd.federation.stopwatch import Stopwatch
from collab_asd.id_classifier.model import ClassifierSettings, IdClassifier
from collab_asd.seeding import derive

logger = logging.getLogger(__name__)


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
