"""The server's half of embedding sharing, as a Flower strategy.

One round is one page of embeddings from every client. After the last training page the server trains f_s; under
Algorithm 2 the pages of the calibration and test clips follow. After the last round the clients score. The server
never computes f_c and never imports an encoder: that it cannot is the paper's privacy argument (section IV-C).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from collab_asd.config import Inference
from collab_asd.detectors.space import Space
from collab_asd.embedding_sharing.algorithm import train_id_classifiers
from collab_asd.embedding_sharing.classifier_cache import ClassifierCache
from collab_asd.embedding_sharing.codec import decode_page
from collab_asd.embedding_sharing.store import EmbeddingStore, SharedMachine
from collab_asd.federation.actions import DESCRIBE, EMBEDDINGS
from collab_asd.federation.classifiers import put_classifiers
from collab_asd.federation.grid import SupervisedGrid, require_same_encoder
from collab_asd.federation.records import from_record, to_record
from collab_asd.federation.scoring import ClientScores, ScoreGathering
from collab_asd.federation.stopwatch import TRAINED_BEFORE, Stopwatch
from collab_asd.id_classifier.model import IdClassifier
from collab_asd.id_classifier.settings import TrainingSettings
from collab_asd.interfaces import Part
from collab_asd.scorers import DetectorSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClientFacts:
    """What one client said of itself: where its pages end, in clips, and what the server must know of its encoder."""

    train_pages: list[int]
    calibration_pages: list[int]
    test_pages: list[int]
    stack: int
    stack_hop: int
    digest: str
    note: str

    def pages(self, part: Part) -> list[tuple[int, int]]:
        """Return the first clip of each page, and the first after it."""
        ends: list[int] = getattr(self, f"{part}_pages")
        return list(zip([0, *ends], ends, strict=False))


class EmbeddingSharing(ScoreGathering, Strategy):
    """Embedding sharing with inference at the clients (Algorithm 1) or at the server (Algorithm 2).

    Parameters
    ----------
    training : TrainingSettings
        How f_s is trained; how frames are stacked comes from the clients.
    scorer : DetectorSettings
        f_a, which the server needs under Algorithm 2 only.
    inference : {"client", "server"}
    seed : int
    device : str
        A PyTorch device to train f_s on.
    cache : ClassifierCache, optional
        Where classifiers that were trained before are found; without it each run trains its own.
    """

    shares = True

    def __init__(
        self,
        training: TrainingSettings,
        scorer: DetectorSettings,
        inference: Inference = "client",
        seed: int = 0,
        device: str = "cpu",
        cache: ClassifierCache | None = None,
    ) -> None:
        self.training, self.scorer, self.inference, self.seed, self.device = training, scorer, inference, seed, device
        self.cache = cache
        self.watch = Stopwatch()
        self.facts: dict[int, ClientFacts] = {}
        self._store = EmbeddingStore()
        self._schedule: list[tuple[Part, int]] = []
        self._classifiers: dict[int, IdClassifier] = {}
        self._shared: dict[int, RecordDict] = {}

    @property
    def encoder_note(self) -> str:
        """What the clients say of their encoder."""
        return next(iter(self.facts.values())).note

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Carry out the whole algorithm and return the clients' scores."""
        with self.watch("embed"):
            self.facts = self._describe(grid)
        self._schedule = self._rounds("train")
        if self.inference == "server":
            self._schedule += self._rounds("calibration") + self._rounds("test")
        self.begin(grid, len(self._schedule))
        with self.watch("share, train and score"):
            self.start(grid, ArrayRecord(), num_rounds=len(self._schedule))
        return self.scores

    def summary(self) -> None:
        """Log what this strategy will do."""
        who = "clients (Algorithm 1)" if self.inference == "client" else "server (Algorithm 2)"
        logger.info("embedding sharing: %d clients, scored by the %s", len(self.facts), who)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for this round's page, each client that has one."""
        part, page = self._schedule[server_round - 1]
        return [
            Message(_page_request(part, *self.facts[client].pages(part)[page]), node, EMBEDDINGS)
            for client, node in self.grid.clients.items()
            if page < len(self.facts[client].pages(part))
        ]

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[None, MetricRecord]:
        """Store the pages; train f_s after the last training page, score after the last of all (Algorithm 2)."""
        part, page = self._schedule[server_round - 1]
        for reply in replies:
            arrays = from_record(reply.content.array_records["page"])
            self._store.add(self.grid.client_of(reply), part, decode_page(arrays))
        stored = len(self._store)
        if (part, page) == self._rounds("train")[-1]:
            self._train()
        if self.inference == "server" and server_round == self.rounds:
            self._shared = {client: self._score_client(client) for client in self.grid.clients}
        return None, MetricRecord({"stored-clips": stored})

    def score_request(self, client: int) -> RecordDict:
        """Send f_s (Algorithm 1, line 6), or the scores in its space (Algorithm 2)."""
        if self.inference == "server":
            return self._shared[client]
        return put_classifiers(self._classifiers, self._store.groups(client))

    def _rounds(self, part: Part) -> list[tuple[Part, int]]:
        return [(part, page) for page in range(max(len(facts.pages(part)) for facts in self.facts.values()))]

    def _describe(self, grid: SupervisedGrid) -> dict[int, ClientFacts]:
        replies = grid.send_and_receive([Message(RecordDict(), node, DESCRIBE) for node in grid.clients.values()])
        facts = {grid.client_of(r): _facts(r.content.config_records["client"]) for r in replies}
        require_same_encoder({client: said.digest for client, said in facts.items()})
        return facts

    def _train(self) -> None:
        """Train f_s on what all clients have sent (Algorithm 1, lines 4 and 5)."""
        facts = next(iter(self.facts.values()))
        machines = [machine.frames for client in self.grid.clients for machine in self._store.machines(client)]
        train = train_id_classifiers if self.cache is None else self.cache.train
        with self.watch("train"):
            self._classifiers = train(
                machines, self.training, (facts.stack, facts.stack_hop), self.seed, self.device, _log_epoch
            )
        if self.cache is not None and self.cache.seconds_saved:
            self.watch.seconds[TRAINED_BEFORE] = self.cache.seconds_saved
        if self.inference == "client":
            self._store.release()

    def _score_client(self, client: int) -> RecordDict:
        """Build f_a per machine and score in the space of f_s (Algorithm 2, lines 2-4 and 9-11)."""
        content = RecordDict()
        for machine in self._store.machines(client):
            group = machine.frames.group
            shared = Space.fit(machine.frames, self.scorer.shared, self._classifiers[group])
            content[f"shared/{group}/{machine.frames.machine_class}"] = _shared_record(machine, shared)
        return content


def _shared_record(machine: SharedMachine, shared: Space) -> ArrayRecord:
    embedded = [shared.embed(frames) for frames in machine.frames.test]
    scores = shared.scores(embedded)
    return to_record(
        {
            "normal-clips": np.array(machine.normal_clips, np.int32),
            "test-clips": np.array(machine.test_clips, np.int32),
            "normal": scores.normal,
            "test": scores.test,
            "predicted": np.array([shared.predicted_class(clip) for clip in embedded], np.int32),
        }
    )


def _page_request(part: Part, start: int, stop: int) -> RecordDict:
    return RecordDict({"request": ConfigRecord({"part": part, "start": start, "stop": stop})})


def _facts(record: ConfigRecord) -> ClientFacts:
    return ClientFacts(**{key.replace("-", "_"): value for key, value in record.items()})  # type: ignore[arg-type]


def _log_epoch(group: int, epoch: int, loss: float) -> None:
    logger.info("group %d: epoch %d, loss %.4f", group, epoch, loss)
