"""The server's half of embedding sharing, as a Flower strategy.

One round is one page of embeddings from every client. After the last training page the server trains f_s; under
Algorithm 2 the pages of the calibration and test clips follow. After the last round the clients score. The server
never computes f_c and never imports an encoder: that it cannot is the paper's privacy argument (section IV-C).

A client that fails is excluded (`collab_asd.federation.grid.Rules`). What f_s learns is then what it would have learnt
without that client: where the codec was fitted to its frames, too, all others are asked again.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from collab_asd.codecs import Codec, CodecPlan, FrameStatistics
from collab_asd.config import Inference
from collab_asd.detectors.space import Space
from collab_asd.embedding_sharing.algorithm import group_ranks, train_id_classifiers
from collab_asd.embedding_sharing.classifier_cache import ClassifierCache
from collab_asd.embedding_sharing.facts import ClientFacts, require_sound
from collab_asd.embedding_sharing.kept import KEPT, STORE, Kept
from collab_asd.embedding_sharing.pages import PageNumber
from collab_asd.embedding_sharing.screening import alone, loud, said_size, sent_size, unlike
from collab_asd.embedding_sharing.store import EmbeddingStore, SharedMachine
from collab_asd.federation.actions import DESCRIBE, EMBEDDINGS, SCORE
from collab_asd.federation.classifiers import put_classifiers
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.meeting import require_same_encoder
from collab_asd.federation.records import from_record, to_record
from collab_asd.federation.scoring import ClientScores, ScoreGathering, read_scores
from collab_asd.federation.stopwatch import TRAINED_BEFORE, Stopwatch
from collab_asd.id_classifier.model import IdClassifier
from collab_asd.id_classifier.settings import TrainingSettings
from collab_asd.interfaces import MachineFrames, Part
from collab_asd.progress import step
from collab_asd.scorers import DetectorSettings

logger = logging.getLogger(__name__)
Record = TypeVar("Record", ArrayRecord, ConfigRecord)
WAVES = {EMBEDDINGS: 8, DESCRIBE: 64, SCORE: 64}  # messages under way at once: pages are large, the others less so


class EmbeddingSharing(ScoreGathering, Strategy):
    """Embedding sharing with inference at the clients (Algorithm 1) or at the server (Algorithm 2).

    Parameters
    ----------
    training : TrainingSettings
        How f_s is trained; how frames are stacked comes from the clients.
    scorer : DetectorSettings
        f_a, which the server needs under Algorithm 2 only.
    codec : CodecPlan
        What the clients send in place of their embeddings.
    inference : {"client", "server"}
    seed : int
    device : str
        A PyTorch device to train f_s on.
    cache : ClassifierCache, optional
        Where classifiers that were trained before are found; without it each run trains its own.
    loudest : float
        A client whose embeddings are so many times as large, or small, as the median client's is excluded.
    retain : bool
        Keep the embeddings after the run, for machines that join later (`joining`).
    """

    shares = True

    def __init__(
        self,
        training: TrainingSettings,
        scorer: DetectorSettings,
        codec: CodecPlan,
        inference: Inference = "client",
        seed: int = 0,
        device: str = "cpu",
        cache: ClassifierCache | None = None,
        loudest: float = 10.0,
        retain: bool = False,
    ) -> None:
        self.training, self.scorer, self.inference, self.seed, self.device = training, scorer, inference, seed, device
        self.plan, self.cache, self.loudest, self.retain = codec, cache, loudest, retain
        self.watch = Stopwatch()
        self.facts: dict[int, ClientFacts] = {}
        self._statistics: dict[int, FrameStatistics] = {}
        self._schedule: list[tuple[Part, int]] = []
        self._train_rounds = 0
        self._members: set[int] = set()
        self._open_steps = ExitStack()
        self._classifiers: dict[int, IdClassifier] = {}
        self._score_requests: dict[tuple[int, ...], RecordDict] = {}
        self._shared: dict[int, RecordDict] = {}

    @property
    def encoder_note(self) -> str:
        """What the clients say of their encoder."""
        return next(iter(self.facts.values())).note

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Carry out the whole algorithm and return the clients' scores."""
        self.grid = grid
        grid.tolerant, grid.waves, grid.take = True, WAVES, self._take
        with self.watch("embed"), step(f"waiting until {len(grid.clients)} clients have embedded their recordings"):
            grid.send_and_receive([Message(RecordDict(), node, DESCRIBE) for node in grid.clients.values()])
            require_same_encoder({client: self.facts[client].digest for client in grid.clients})
            grid.exclude(unlike({client: self.facts[client] for client in grid.clients}))
            grid.exclude(
                loud({c: said_size(self._statistics[c]) for c in grid.clients if self.plan.learns}, self.loudest)
            )
        with tempfile.TemporaryDirectory(prefix="collab-asd-store-") as scratch, self.watch("share, train and score"):
            folder = (grid.folder or Path(scratch)) / KEPT
            self._store = EmbeddingStore(folder / STORE, self.plan)
            return self.share(grid, folder)

    def share(self, grid: SupervisedGrid, folder: Path) -> list[ClientScores]:
        """Do all that comes after the clients' descriptions; what the server keeps goes into a folder."""
        while not self._attempt():
            self._store.clear()
        Kept(self._classifiers, self.codec, {c: self.facts[c] for c in grid.clients}).save(folder)
        if not self.retain:
            self._store.clear()
        return self.scores

    @property
    def codec(self) -> Codec:
        """What embeddings go through, once it is fitted."""
        assert self._store.codec is not None
        return self._store.codec

    def _attempt(self) -> bool:
        """Share, train and score with the clients that are left; False if it must be done again with fewer."""
        self._members = set(self.grid.clients)
        self._store.open({client: self.facts[client] for client in self.grid.clients})
        if self._store.codec is None:
            self._store.keep_codec(self.plan.fit([self._statistics[c] for c in self.grid.clients if self.plan.learns]))
        self._schedule = self._rounds("train")
        self._train_rounds = len(self._schedule)
        if self.inference == "server":
            self._schedule += self._rounds("calibration") + self._rounds("test")
        self.begin(self.grid, len(self._schedule))
        with self._open_steps, step("pages of embeddings", self._pages_to_come()) as self._advance:
            self.start(self.grid, ArrayRecord(), num_rounds=len(self._schedule))
        return not self._spoilt

    @property
    def _spoilt(self) -> bool:
        """Whether the codec was fitted to a client that is lost before f_s was trained."""
        return self.plan.learns and not self._classifiers and set(self.grid.clients) < self._members

    def summary(self) -> None:
        """Log what this strategy will do."""
        who = "clients (Algorithm 1)" if self.inference == "client" else "server (Algorithm 2)"
        logger.info("embedding sharing: %d clients, scored by the %s", len(self.grid.clients), who)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for this round's page, each client that has one which is not in the store."""
        if self._spoilt:
            return
        part, index = self._schedule[server_round - 1]
        for client, node in list(self.grid.clients.items()):
            pages = self.facts[client].pages(part)
            if index < len(pages) and not self._store.holds(client, pages[index]):
                yield Message(self._page_request(pages[index]), node, EMBEDDINGS)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[None, MetricRecord]:
        """Train f_s after the last training page, score after the last of all (Algorithm 2)."""
        self._forget_the_lost()
        if server_round == self._train_rounds and not self._spoilt:
            self._screen()
            if not self._spoilt:
                self._train()
        if self.inference == "server" and server_round == self.rounds and not self._spoilt:
            self._shared = {client: self._score_client(client) for client in self.grid.clients}
        return None, MetricRecord({"stored-clips": self._store.clip_count()})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every client for its scores, in the last round."""
        if server_round < self.rounds or self._spoilt:
            return
        self._open_steps.enter_context(step(f"waiting until {len(self.grid.clients)} clients have scored"))
        yield from super().configure_evaluate(server_round, arrays, config, grid)

    def score_request(self, client: int) -> RecordDict:
        """Send f_s and its codec (Algorithm 1, line 6), or the scores in its space (Algorithm 2)."""
        if self.inference == "server":
            return self._shared[client]
        groups = tuple(sorted(set(self.facts[client].groups)))
        if groups not in self._score_requests:  # laid out once: clients of the same groups share the bytes
            self._score_requests[groups] = put_classifiers(self._classifiers, groups)
            self._score_requests[groups]["codec"] = to_record(self.codec.to_arrays())
        return RecordDict(dict(self._score_requests[groups]))

    def _take(self, request: Message, reply: Message) -> None:
        """Check what a client answered, and keep it.

        Raises
        ------
        ValueError
            It cannot be.
        """
        client, kind = self.grid.client_of(reply), request.metadata.message_type
        if kind == DESCRIBE:
            self.facts[client] = ClientFacts.of(_record(reply.content.config_records, "client"))
            if self.plan.learns:
                arrays = from_record(_record(reply.content.array_records, "statistics"))
                self._statistics[client] = FrameStatistics.from_arrays(arrays)
                if len(self._statistics[client].mean) != self.facts[client].dimension:
                    raise ValueError("its statistics are of another dimension than its embeddings")
            reply.content = RecordDict()  # of many clients, it would be held until the last has answered
        elif kind == EMBEDDINGS:
            number = PageNumber(**request.content.config_records["request"])  # type: ignore[arg-type]
            page = from_record(_record(reply.content.array_records, "page"))
            require_sound(number, page, self.facts[client], self.plan)
            self._store.add(client, number, page)
            reply.content = RecordDict()  # on disk now, and no more in memory
            self._advance()
        elif kind == SCORE:
            read_scores(client, reply)

    def _rounds(self, part: Part) -> list[tuple[Part, int]]:
        return [(part, page) for page in range(max(len(self.facts[c].pages(part)) for c in self.grid.clients))]

    def _pages_to_come(self) -> int:
        parts = {part for part, _ in self._schedule}
        wanted = [(c, page) for c in self.grid.clients for part in parts for page in self.facts[c].pages(part)]
        return sum(not self._store.holds(client, page) for client, page in wanted)

    def _page_request(self, page: PageNumber) -> RecordDict:
        number = ConfigRecord({"part": page.part, "start": page.start, "stop": page.stop})
        return RecordDict({"request": number, "codec": to_record(self.codec.to_arrays())})

    def _forget_the_lost(self) -> None:
        for client in self._members - set(self.grid.clients):
            self._store.drop(client)

    def _screen(self) -> None:
        """Exclude clients whose embeddings cannot be, and those that no other machine is left for."""
        self.grid.exclude(loud({c: sent_size(self._store.machines(c)) for c in self.grid.clients}, self.loudest))
        self.grid.exclude(alone({c: self.facts[c].places for c in self.grid.clients}))
        self._forget_the_lost()

    def _train(self) -> None:
        """Train f_s on what all clients have sent (Algorithm 1, lines 4 and 5)."""
        facts = self.facts[next(iter(self.grid.clients))]
        machines = [machine.frames for client in self.grid.clients for machine in self._store.machines(client)]
        with self.watch("train"), step("training the ID classifiers"):
            self._classifiers = self._trained(machines, (facts.stack, facts.stack_hop))
        if self.cache is not None and self.cache.seconds_saved:
            self.watch.seconds[TRAINED_BEFORE] = self.cache.seconds_saved

    def _trained(self, machines: Sequence[MachineFrames], stacking: tuple[int, int]) -> dict[int, IdClassifier]:
        """Train f_s of each group; numbers of groups that are pseudonyms are put in order for that."""
        ranks = self.ranks(machines)
        trained = self.classifiers_of([replace(m, group=ranks[m.group]) for m in machines], stacking)
        return {group: trained[rank] for group, rank in ranks.items()}

    def ranks(self, machines: Sequence[MachineFrames]) -> dict[int, int]:
        """Return by which number each group is trained."""
        return group_ranks(machines) if self.grid.private else {m.group: m.group for m in machines}

    def classifiers_of(self, machines: Sequence[MachineFrames], stacking: tuple[int, int]) -> dict[int, IdClassifier]:
        """Train f_s of each group, or find those that were trained on the same before."""
        train = train_id_classifiers if self.cache is None else self.cache.train
        return train(machines, self.training, stacking, self.seed, self.device, log_epoch)

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


def _record(records: Mapping[str, Record], name: str) -> Record:
    if name not in records:
        raise ValueError(f"its answer holds no {name}")
    return records[name]


def log_epoch(group: int, epoch: int, loss: float) -> None:
    """Tell how far training is."""
    logger.info("group %d: epoch %d, loss %.4f", group, epoch, loss)
