"""The evaluate half, the same for every method: clients score their own test clips, the server gathers the table.

A method supplies scores of its machines' test clips and of their held-out normals. Thresholds and decisions are made
here, from the client's own normals.

`join` gives clip numbers their names and labels back: at the runner of a simulation, and at each client of a
deployment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from collab_asd.config import RunConfig
from collab_asd.core.progress import step
from collab_asd.core.types import MachineFrames, Partition, ScoreArray, ScoreRow, ScoreTable, SpaceScores
from collab_asd.data.layouts import clip_name
from collab_asd.detection.detector import ClipPoints, Detector
from collab_asd.detection.thresholds import p_values, threshold
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import SCORE, read_arrays, read_values, require_records, to_record
from collab_asd.wire.fields import Numbers, Value

NO_CLASS = -1


@dataclass(frozen=True)
class MachineScores:
    """What a method finds out about one machine at its client.

    Parameters
    ----------
    test : tuple of int
        Positions of the test clips in the client's partition.
    scores : SpaceScores
    predicted : tuple of int
        Class that an ID classifier gives to each test clip; empty where the method has none.
    normal : tuple of int
        Positions of the normal clips, in the order of the detector's.
    detector : Detector or None
        What the client keeps to score tomorrow's clips; None if it needs the server for that (Algorithm 2).
    points : ClipPoints or None
        Where the clips lie before and after the ID classifier.
    misfit : bool
        Whether the covariances of other machines, with which it is scored, do not suit the machine.
    """

    test: tuple[int, ...]
    scores: SpaceScores
    predicted: tuple[int, ...] = ()
    normal: tuple[int, ...] = ()
    detector: Detector | None = None
    points: ClipPoints | None = None
    misfit: bool = False

    def threshold(self, config: RunConfig) -> float:
        """Score above which a clip is called anomalous, from the client's own normals."""
        return threshold(self.scores.normal, config.false_alarm_rate, config.threshold)

    def p_values(self, config: RunConfig) -> ScoreArray:
        """Probability, for each test clip, that a normal one scores as high."""
        return p_values(self.scores.normal, self.scores.test, config.threshold)


@dataclass(frozen=True)
class ClientScores:
    """The scores that one client reports, one entry per test clip; `predicted` is -1 where there is no classifier."""

    client: int
    clips: NDArray[np.int32]
    anomaly_score: ScoreArray
    threshold: ScoreArray
    decision: NDArray[np.int8]
    p_value: ScoreArray
    predicted: NDArray[np.int32]


_ARRAYS = {
    "clips": Numbers("int32", (None,), 0),
    "anomaly_score": Numbers("float64", (None,)),
    "threshold": Numbers("float64", (None,)),
    "decision": Numbers("int8", (None,), 0, 1),
    "p_value": Numbers("float64", (None,), 0, 1),
    "predicted": Numbers("int32", (None,), NO_CLASS),
}


def score_with(
    detector: Detector,
    frames: MachineFrames,
    *,
    normal: tuple[int, ...],
    test: tuple[int, ...],
    misfit: bool = False,
) -> MachineScores:
    """Score one machine's test clips with a detector that the client has built.

    Parameters
    ----------
    detector : Detector
    frames : MachineFrames
    normal, test : tuple of int
        Positions of its clips in the client's partition.
    misfit : bool
        As of `MachineScores`.
    """
    embedded = detector.embed_tests(frames)
    predicted = [p for clip in embedded if (p := detector.predicted_class(clip)) is not None]
    points = ClipPoints.of(frames, detector.spaces[0], embedded, detector.spaces[0].settings.average)
    return MachineScores(test, detector.scores(embedded), tuple(predicted), normal, detector, points, misfit)


def decided(client: int, machines: Sequence[MachineScores], config: RunConfig) -> ClientScores:
    """Client side: decide each test clip of its machines."""
    parts = []
    for machine in machines:
        limit, scores = machine.threshold(config), machine.scores.test
        found = (
            np.array(machine.test, np.int32),
            scores,
            np.full(len(scores), limit),
            (scores > limit).astype(np.int8),
            machine.p_values(config),
            np.array(machine.predicted or [NO_CLASS] * len(scores), np.int32),
        )
        parts.append(found)
    arrays = [np.concatenate(entries) for entries in zip(*parts, strict=True)]
    order = np.argsort(arrays[0])  # by number: that of content hashes would give them away
    return ClientScores(client, *(array[order] for array in arrays))


def score_reply(scores: ClientScores) -> RecordDict:
    """Client side: report scores and decisions."""
    return RecordDict({"scores": to_record({name: getattr(scores, name) for name in _ARRAYS})})


def kept_reply() -> RecordDict:
    """Client side: say that all is scored, and keep the scores."""
    return RecordDict({"kept": ConfigRecord({"scored": True})})


def read_scores(client: int, reply: Message) -> ClientScores | None:
    """Server side: read what a client reported; None where it keeps its scores.

    Raises
    ------
    ValueError
        Scores are missing or not finite, or do not fit together; or something else is there.
    """
    if "kept" in reply.content.config_records:
        require_records(reply.content, ["kept"])
        read_values(reply.content, "kept", {"scored": Value(bool)})
        return None
    require_records(reply.content, ["scores"])
    arrays = read_arrays(reply.content, "scores", _ARRAYS)
    if len({array.shape for array in arrays.values()}) > 1:
        raise ValueError("its scores do not fit together")
    if not np.array_equal(arrays["decision"] == 1, arrays["anomaly_score"] > arrays["threshold"]):
        raise ValueError("its decisions are not those of its scores and thresholds")
    return ClientScores(client, **arrays)


class ScoreGathering(Strategy):
    """A Flower strategy that ends with every client scoring its test clips, once: the same for every method.

    A method adds how it trains (`configure_train` and `aggregate_train`; as they stand, nothing is trained) and what a
    client needs to score (`score_request`). `conduct` runs it.
    """

    tolerates_exclusion = False
    """Whether the method can go on without a client that fails."""
    grid: SupervisedGrid
    rounds: int
    scores: list[ClientScores]

    def conduct(self, grid: SupervisedGrid, rounds: int = 1) -> list[ClientScores]:
        """Train for some rounds with the clients of a grid, and return their scores."""
        self.grid, self.rounds, self.scores = grid, rounds, []
        with ExitStack() as self._open_steps:
            self.start(grid, ArrayRecord(), num_rounds=rounds, timeout=grid.rules.timeout, evaluate_fn=self.measure)
        return self.scores

    def check_reply(self, client: int, request: Message, reply: Message) -> None:
        """Refuse a reply that cannot be used; the grid calls this before the strategy sees the reply.

        Raises
        ------
        ValueError
            It cannot. The client is asked again, or excluded.
        """
        if request.metadata.message_type == SCORE:
            read_scores(client, reply)

    def score_request(self, client: int) -> RecordDict:
        """Return what a client needs from the server to score its clips; nothing, where nothing was trained."""
        return RecordDict()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for nothing."""
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Nothing comes."""
        return None, None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every client for its scores, in the last round."""
        if server_round < self.rounds:
            return []
        clients = list(self.grid.clients.items())
        self._open_steps.enter_context(step(f"waiting until {len(clients)} clients have scored"))
        return (Message(self.score_request(client), node, SCORE) for client, node in clients)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Gather the scores, in the order of the clients."""
        read = (read_scores(self.grid.client_of(reply), reply) for reply in replies)
        self.scores += [scores for scores in read if scores is not None]
        return MetricRecord({"test-clips": sum(len(s.clips) for s in self.scores)}) if self.scores else None

    def measure(self, server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        """Say what the scores are worth once they are gathered: ``evaluate_fn`` of ``start``."""
        if self.grid.measure is None or not self.scores or server_round < self.rounds:
            return None
        figures = self.grid.measure(self.scores)
        return MetricRecord(dict(figures)) if figures else None

    def summary(self) -> None:
        """Nothing to say."""


class ScoreRound(ScoreGathering):
    """A strategy of one round in which the clients are only asked for their scores.

    Parameters
    ----------
    request : callable
        Returns what a client needs to score its clips.
    """

    def __init__(self, request: Callable[[int], RecordDict]) -> None:
        self._request = request

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Ask every client for its scores."""
        return self.conduct(grid)

    def score_request(self, client: int) -> RecordDict:
        """See `ScoreGathering`."""
        return self._request(client)


def join(
    scores: Sequence[ClientScores], partitions: Sequence[Partition] | Mapping[int, Partition], data_dir: Path
) -> ScoreTable:
    """Name the scores of clients; `partitions` are found by the number of the client."""
    rows = []
    for client in scores:
        partition = partitions[client.client]
        entries = zip(
            *(client.clips, client.anomaly_score, client.threshold, client.decision, client.predicted),
            client.p_value,
            strict=True,
        )
        for index, score, limit, decision, predicted, p in entries:
            clip = partition.clips[index]
            correct = None if predicted == NO_CLASS else bool(predicted == partition.classes[index])
            name = clip_name(clip, data_dir)
            machine = (client.client, clip.machine_type, clip.machine_id)
            verdict = ScoreRow(*machine, name, clip.label, float(score), float(limit), int(decision), correct, float(p))
            rows.append(replace(verdict, domain=clip.attribute("domain")))
    return ScoreTable(tuple(sorted(rows, key=lambda r: (r.client, r.clip))))
