"""The server's half of embedding sharing, as a Flower strategy.

The clients describe what they have to share. Each round then brings a few pages of their embeddings, which go to the
store. After the last training page the server trains f_s; under Algorithm 2 the pages of the calibration and test clips
follow. After the last round the clients score. The server never computes f_c and never imports an encoder: that it
cannot is the paper's privacy argument (section IV-C).

A client that fails is excluded (`collab_asd.federation.grid.Rules`). What f_s learns is then what it would have learnt
without that client: where the codec was fitted to its frames, too, all others are asked again.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from collab_asd.classifier.model import IdClassifier
from collab_asd.classifier.settings import TrainingSettings, training_of
from collab_asd.config import Inference, RunConfig
from collab_asd.core.files import cache_dir
from collab_asd.core.progress import step
from collab_asd.core.runtime import TRAINED_BEFORE, Stopwatch
from collab_asd.core.types import MachineFrames, Part
from collab_asd.detection.detector import Space
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.detection.second_order import others_to_arrays
from collab_asd.federation.bases import MOST_OF_A_RUN
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import (
    DESCRIBE,
    EMBEDDINGS,
    from_record,
    put_classifiers,
    require_records,
    to_record,
)
from collab_asd.federation.roster import exclude_other_encoders
from collab_asd.federation.scoring import ClientScores, ScoreGathering
from collab_asd.methods.embedding_sharing.algorithm import group_ranks, train_id_classifiers
from collab_asd.methods.embedding_sharing.covariances import TOLD, PooledScatters, Scatter
from collab_asd.methods.embedding_sharing.pages import (
    MEGABYTE,
    Arrays,
    ClientDescription,
    PageNumber,
    codec_of,
    require_valid_page,
)
from collab_asd.methods.embedding_sharing.screening import (
    contradiction,
    described_size,
    find_mismatched,
    find_norm_outliers,
    find_singletons,
    find_spoilers,
    received_size,
)
from collab_asd.methods.embedding_sharing.state import KEPT, STORE, ClassifierCache, ServerState
from collab_asd.methods.embedding_sharing.store import EmbeddingStore, SharedMachine
from collab_asd.wire.codecs import Codec, CodecPlan, FrameStatistics
from collab_asd.wire.fields import MOST_FRAMES, MOST_MACHINES

logger = logging.getLogger(__name__)
Place: TypeAlias = tuple[int, int]
Described: TypeAlias = tuple[ClientDescription, FrameStatistics | None, dict[Place, Scatter]]
PAGES_PER_ROUND = 8  # so many are in memory at once


class CodecInvalidatedError(Exception):
    """The codec was fitted to the frames of a client that was lost before f_s was trained."""


class EmbeddingSharing(ScoreGathering):
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
    norm_ratio : float
        A client whose embeddings are so many times as large, or small, as the median client's is excluded.
    retain : bool
        Keep the embeddings after the run, for machines that join later (`joining`).
    page_bytes : float
        The most that a page may be.
    calibration : float
        Share of each machine's normal clips, in [0, 1), that clients keep for their thresholds.
    """

    tolerates_exclusion = True

    def __init__(
        self,
        training: TrainingSettings,
        scorer: DetectorSettings,
        codec: CodecPlan,
        inference: Inference = "client",
        seed: int = 0,
        device: str = "cpu",
        cache: ClassifierCache | None = None,
        norm_ratio: float = 10.0,
        retain: bool = False,
        page_bytes: float = np.inf,
        calibration: float = 0.0,
    ) -> None:
        self.training, self.scorer, self.inference, self.seed, self.device = training, scorer, inference, seed, device
        self.plan, self.cache, self.norm_ratio, self.retain = codec, cache, norm_ratio, retain
        self.page_bytes, self.calibration = page_bytes, calibration
        self.watch = Stopwatch()
        self.descriptions: dict[int, ClientDescription] = {}
        self._statistics: dict[int, FrameStatistics] = {}
        self._scatters: dict[int, dict[Place, Scatter]] = {}
        self._pooled: dict[int, PooledScatters[tuple[int, Place]]] = {}
        self._schedule: list[list[tuple[int, PageNumber]]] = []
        self._train_rounds = 0
        self._codecs = 0
        self._members: set[int] = set()
        self._classifiers: dict[int, IdClassifier] = {}
        self._score_requests: dict[tuple[int, ...], RecordDict] = {}
        self._shared: dict[int, RecordDict] = {}

    @property
    def encoder_note(self) -> str:
        """What the clients say of their encoder."""
        return next(iter(self.descriptions.values())).note

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Carry out the whole algorithm and return the clients' scores."""
        self.grid = grid
        with self.watch("embed"):
            self._describe()
        with tempfile.TemporaryDirectory(prefix="collab-asd-store-") as scratch, self.watch("share, train and score"):
            folder = (grid.folder or Path(scratch)) / KEPT
            self._store = EmbeddingStore(folder / STORE, self.plan)
            scores = self.take_up()
            while scores is None:
                try:
                    self._open_store()
                    with step("pages of embeddings", sum(map(len, self._schedule))) as self._advance:
                        scores = self.conduct(grid, len(self._schedule))
                except CodecInvalidatedError:  # again with the clients that are left
                    self._store.clear()
                else:
                    self._keep(folder)
        return scores

    def _describe(self) -> None:
        """Ask the clients what they have to share, and exclude those whose answers do not fit the others'."""
        grid, asked = self.grid, list(self.grid.clients.values())
        with step(f"waiting until {len(asked)} clients have embedded their recordings"):
            for reply in grid.send_and_receive(Message(RecordDict(), node, DESCRIBE) for node in asked):
                client = grid.client_of(reply)
                self.descriptions[client], statistics, self._scatters[client] = _read_description(
                    reply.content, self.plan
                )
                if statistics is not None:
                    self._statistics[client] = statistics
        exclude_other_encoders(grid, {client: self.descriptions[client].digest for client in grid.clients})
        grid.exclude(find_mismatched({client: self.descriptions[client] for client in grid.clients}))
        sizes = {c: described_size(self._statistics[c]) for c in grid.clients if self.plan.learns}
        grid.exclude(find_norm_outliers(sizes, self.norm_ratio))
        grid.exclude(find_spoilers({c: self._statistics[c] for c in grid.clients if self.plan.learns}, self.plan))

    def take_up(self) -> list[ClientScores] | None:
        """Take up what an earlier run has left; return the scores where nothing is left to train, else None."""
        return None

    def _open_store(self) -> None:
        """Fit the codec, if it is not, and deal out the pages that are to come."""
        clients = self.grid.clients
        self._members = set(clients)
        self._store.open({client: self.descriptions[client] for client in clients})
        if self._store.codec is None:
            self._store.keep_codec(self.plan.fit([self._statistics[c] for c in clients if self.plan.learns]))
        self._codecs += 1
        self._codec_record = to_record(self.codec.to_arrays())
        self._schedule = self._rounds("train") or [[]]  # after one round at least f_s is trained
        self._train_rounds = len(self._schedule)
        if self.inference == "server":
            self._schedule += self._rounds("calibration") + self._rounds("test")

    def _keep(self, folder: Path) -> None:
        """Write what the server keeps after the run into a folder."""
        descriptions = {client: self.descriptions[client] for client in self.grid.clients}
        ServerState(self._classifiers, self.codec, descriptions).save(folder)
        if not self.retain:
            self._store.clear()

    @property
    def codec(self) -> Codec:
        """What embeddings go through, once it is fitted."""
        assert self._store.codec is not None
        return self._store.codec

    def _rounds(self, part: Part) -> list[list[tuple[int, PageNumber]]]:
        """Deal the pages that are not in the store out to rounds: a few in each, of as many clients."""
        missing = [
            [(client, page) for page in self.descriptions[client].pages(part) if not self._store.holds(client, page)]
            for client in self.grid.clients
        ]
        rows = [[page for page in row if page] for row in zip_longest(*missing)]
        return [row[i : i + PAGES_PER_ROUND] for row in rows for i in range(0, len(row), PAGES_PER_ROUND)]

    def summary(self) -> None:
        """Log what this strategy will do."""
        who = "clients (Algorithm 1)" if self.inference == "client" else "server (Algorithm 2)"
        logger.info("embedding sharing: %d clients, scored by the %s", len(self.grid.clients), who)

    def check_reply(self, client: int, request: Message, reply: Message) -> None:
        """See `ScoreGathering`."""
        if request.metadata.message_type == DESCRIBE:
            said, *_ = _read_description(reply.content, self.plan)
            # In a deployment each client has numbers of its own for its machines.
            if self.grid.pseudonymous and any(number // MOST_MACHINES != client for number in said.classes):
                raise ValueError("it numbers a machine as another client's")
        elif request.metadata.message_type == EMBEDDINGS:
            number = PageNumber(**request.content.config_records["request"])  # type: ignore[arg-type]
            page = _read_page(reply.content)
            require_valid_page(number, page, self.descriptions[client], self.plan, self.page_bytes)
        else:
            super().check_reply(client, request, reply)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for this round's pages."""
        for client, page in self._schedule[server_round - 1]:
            if client in self.grid.clients:
                request = RecordDict({"request": ConfigRecord(asdict(page)), "codec": self._codec_record})
                yield Message(request, self.grid.clients[client], EMBEDDINGS)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[None, MetricRecord]:
        """Store the pages; train f_s after the last training page, score after the last of all (Algorithm 2)."""
        for reply in replies:
            page = _read_page(reply.content)
            self._store.add(self.grid.client_of(reply), PageNumber.from_array(page["page"]), page)
            self._advance()
        self._drop_lost_clients()
        if server_round == self._train_rounds:
            self._screen()
            self._train()
        if self.inference == "server" and server_round == self.rounds:
            self._shared = {client: self._score_client(client) for client in self.grid.clients}
        if server_round == self.rounds:  # the clients score next, and nobody reads the embeddings any more
            self._store.release()
        return None, MetricRecord({"stored-clips": self._store.clip_count()})

    def score_request(self, client: int) -> RecordDict:
        """Send f_s and its codec (Algorithm 1, line 6), or the scores in its space (Algorithm 2)."""
        if self.inference == "server":
            return RecordDict(dict(self._shared[client]) | self._told(client))
        groups = tuple(sorted(set(self.descriptions[client].groups)))
        if groups not in self._score_requests:  # laid out once: clients of the same groups share the bytes
            self._score_requests[groups] = put_classifiers(self._classifiers, groups)
            self._score_requests[groups]["codec"] = to_record(self.codec.to_arrays())
        return RecordDict(dict(self._score_requests[groups]) | self._told(client))

    def _told(self, client: int) -> dict[str, ArrayRecord]:
        """Return what the covariances of the others say to each machine of a client that has told its own."""
        told = {}
        for group, number in self._scatters.get(client, {}):
            others = self._pooled[group].others((client, (group, number)))
            if others is not None:
                told[f"others/{group}/{number}"] = to_record(others_to_arrays(others))
        return told

    def _pool(self) -> None:
        """Add up the covariances that the clients have told, in each group."""
        told = {(client, place): s for client in self.grid.clients for place, s in self._scatters[client].items()}
        for group in {place[0] for _, place in told}:
            self._pooled[group] = PooledScatters({key: s for key, s in told.items() if key[1][0] == group})

    @property
    def _codec_invalidated(self) -> bool:
        """Whether the codec was fitted to a client that is lost before f_s was trained.

        Nodes of a deployment send by no third basis: the second one stays.
        """
        is_last = self.grid.pseudonymous and self._codecs >= MOST_OF_A_RUN
        return self.plan.learns and not self._classifiers and not is_last and set(self.grid.clients) < self._members

    def _drop_lost_clients(self) -> None:
        """Delete what lost clients have sent.

        Raises
        ------
        CodecInvalidatedError
            All others must be asked again.
        """
        for client in self._members - set(self.grid.clients):
            self._store.drop(client)
        if self._codec_invalidated:
            raise CodecInvalidatedError

    def _screen(self) -> None:
        """Exclude clients whose embeddings cannot be, and those that no other machine is left for."""
        sent = {client: self._store.machines(client) for client in self.grid.clients}
        self.grid.exclude({c: why for c, machines in sent.items() if (why := self._contradiction(c, machines))})
        sizes = {client: received_size(sent[client]) for client in self.grid.clients}
        self.grid.exclude(find_norm_outliers(sizes, self.norm_ratio))
        self.grid.exclude(find_singletons({c: self.descriptions[c].places for c in self.grid.clients}))
        self._drop_lost_clients()

    def _contradiction(self, client: int, machines: Sequence[SharedMachine]) -> str:
        told, freedoms = self._statistics.get(client), {p: scatter.dof for p, scatter in self._scatters[client].items()}
        return contradiction(machines, self.descriptions[client], told, freedoms, self.codec, self.calibration)

    def _train(self) -> None:
        """Train f_s on what all clients have sent (Algorithm 1, lines 4 and 5)."""
        self._pool()
        first = self.descriptions[next(iter(self.grid.clients))]
        machines = [machine.frames for client in self.grid.clients for machine in self._store.machines(client)]
        ranks = self.ranks(machines)
        with self.watch("train"), step("training the ID classifiers"):
            ranked = [replace(m, group=ranks[m.group]) for m in machines]
            trained = self.classifiers_of(ranked, (first.stack, first.stack_hop))
        self._classifiers = {group: trained[rank] for group, rank in ranks.items()}
        if self.cache is not None and self.cache.seconds_saved:
            self.watch.seconds[TRAINED_BEFORE] = self.cache.seconds_saved

    def ranks(self, machines: Sequence[MachineFrames]) -> dict[int, int]:
        """Return by which number each group is trained: pseudonyms of groups are put in order for that."""
        return group_ranks(machines) if self.grid.pseudonymous else {m.group: m.group for m in machines}

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
            embedded = [shared.embed(frames) for frames in machine.frames.test]
            scores = shared.scores(embedded)
            found: Arrays = {
                "normal-clips": np.array(machine.normal_clips, np.int32),
                "test-clips": np.array(machine.test_clips, np.int32),
                "normal": scores.normal,
                "test": scores.test,
                "predicted": np.array([shared.predicted_class(clip) for clip in embedded], np.int32),
            }
            content[f"shared/{group}/{machine.frames.machine_class}"] = to_record(found)
        return content


def build_strategy(config: RunConfig, preset: TrainingSettings | None = None) -> EmbeddingSharing:
    """Build the strategy; where an earlier run is to be joined, the one that goes on from it.

    Parameters
    ----------
    config : RunConfig
    preset : TrainingSettings, optional
        How f_s is trained where the configuration does not say; by default as its preset says.
    """
    settings = (
        training_of(config, preset),
        DetectorSettings.of(config),
        codec_of(config),
        config.inference,
        config.seed,
        config.device,
        ClassifierCache(cache_dir(config.cache_dir) / "classifiers"),
    )
    options: dict[str, Any] = {
        "retain": config.retain_embeddings,
        "page_bytes": config.page_megabytes * MEGABYTE,
        "calibration": config.calibration,
    }
    if not config.join:
        return EmbeddingSharing(*settings, **options)
    from collab_asd.methods.embedding_sharing.joining import LateJoining

    return LateJoining(*settings, **options, earlier=Path(config.join).expanduser())


def _read_description(content: RecordDict, plan: CodecPlan) -> Described:
    """Read what a client says of itself.

    Raises
    ------
    ValueError
        Something is missing, too many, or cannot be.
    """
    if "client" not in content.config_records:
        raise ValueError("its answer holds no client")
    said = ClientDescription.of(content.config_records["client"])
    told = {f"{TOLD}{group}/{number}": (group, number) for group, number in said.places}
    names = {"client", *(["statistics"] if plan.learns else ()), *(told.keys() & content.keys())}
    require_records(content, names)
    statistics = None
    if plan.learns:
        arrays = from_record(content.array_records["statistics"])
        statistics = FrameStatistics.from_arrays(arrays, said.dimension, plan.directions)
        if statistics.count > said.train_pages[-1] * MOST_FRAMES:
            raise ValueError("its statistics are of more frames than its clips can have")
    scatters = {
        place: Scatter.from_arrays(from_record(content.array_records[name]))
        for name, place in told.items()
        if name in content
    }
    return said, statistics, scatters


def _read_page(content: RecordDict) -> Arrays:
    require_records(content, ["page"])
    return from_record(content.array_records["page"])


def log_epoch(group: int, epoch: int, loss: float) -> None:
    """Tell how far training is."""
    logger.info("group %d: epoch %d, loss %.4f", group, epoch, loss)
