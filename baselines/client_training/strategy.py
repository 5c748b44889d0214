"""The server's frame around every method of this kind: statistics, training group by group, then the scores.

Each group of machines (each machine type) has a model of its own, as in embedding sharing, and the clients that hold
machines of it train it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mode
from typing import Any

import numpy as np
from flwr.app import Message, RecordDict

from baselines.client_training.rounds import pooled_statistics, settings_of, start_model
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.config import RunConfig
from collab_asd.core.progress import step
from collab_asd.core.runtime import Stopwatch
from collab_asd.core.seeding import derive
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import (
    SCORE,
    STATISTICS,
    from_record,
    numbered,
    put_classifiers,
    read_arrays,
    read_values,
    require_records,
)
from collab_asd.federation.roster import exclude_other_encoders
from collab_asd.federation.scoring import ClientScores, ScoreGathering
from collab_asd.wire.fields import (
    MOST_CLIPS,
    MOST_DIMENSIONS,
    MOST_FRAMES,
    MOST_MACHINES,
    MOST_WINDOW,
    Numbers,
    Value,
)


@dataclass(frozen=True)
class Group:
    """One group of machines.

    Parameters
    ----------
    number : int
    owners : mapping
        Client number -> the classes that it holds.
    class_clips : list of int
        Training clips of each class at all clients together.
    start : IdClassifier
        What round 1 begins with.
    clips, frames : mapping of int to int
        Client number -> how many it trains on.
    """

    number: int
    owners: Mapping[int, list[int]]
    class_clips: list[int]
    start: IdClassifier
    clips: Mapping[int, int]
    frames: Mapping[int, int]


class ClientTraining(ScoreGathering):
    """A method whose clients train the ID classifier; they score with the last model, as under Algorithm 1.

    Parameters
    ----------
    config : RunConfig
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.watch = Stopwatch()
        self.encoder_note = f"{config.encoder}; its frames did not leave the clients"
        self._classifiers: dict[int, IdClassifier] = {}
        self._groups: dict[int, list[int]] = {}

    @abstractmethod
    def train(self, group: Group, grid: SupervisedGrid) -> IdClassifier:
        """Train the model of one group with the clients of `grid`, which all hold machines of it."""

    @abstractmethod
    def require_valid_training(self, client: int, content: RecordDict) -> None:
        """Refuse an answer of `train` that cannot be.

        Raises
        ------
        ValueError
            Says why.
        """

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Train one model per group, and return the clients' scores."""
        with self.watch("embed"), step(f"waiting until {len(grid.clients)} clients have embedded their recordings"):
            replies = grid.send_and_receive([Message(RecordDict(), node, STATISTICS) for node in grid.clients.values()])
            statistics = {grid.client_of(reply): reply.content for reply in replies}
        exclude_other_encoders(grid, {c: str(s.config_records["encoder"]["digest"]) for c, s in statistics.items()})
        sizes = {client: _window(statistics[client]) for client in grid.clients}
        usual = mode(sizes.values())
        other = {client: own for client, own in sizes.items() if own != usual}
        grid.exclude({client: f"its encoder has windows {own}, most have {usual}" for client, own in other.items()})
        statistics = {client: statistics[client] for client in grid.clients}
        for client, said in statistics.items():
            self._groups[client] = sorted(int(name.removeprefix("sums/")) for name in said.array_records)
        with self.watch("train"):
            for number in sorted({group for groups in self._groups.values() for group in groups}):
                members = {c: content for c, content in statistics.items() if number in self._groups[c]}
                self._classifiers[number] = self.train(_group(self.config, number, members), grid.only(members))
        with self.watch("score"):
            return self.conduct(grid)

    def check_reply(self, client: int, request: Message, reply: Message) -> None:
        """See `ScoreGathering`."""
        if request.metadata.message_type == STATISTICS:
            require_valid_statistics(reply.content)
        elif request.metadata.message_type != SCORE:
            self.require_valid_training(client, reply.content)
        else:
            super().check_reply(client, request, reply)

    def score_request(self, client: int) -> RecordDict:
        """Send the ID classifier of each of the client's groups."""
        return put_classifiers(self._classifiers, self._groups[client])


ENCODER = {
    "stack": Value(int, 1, MOST_WINDOW),
    "stack-hop": Value(int, 1, MOST_WINDOW),
    "dimension": Value(int, 1, MOST_DIMENSIONS),
    "digest": Value(str),
}


def require_valid_statistics(content: RecordDict) -> None:
    """Refuse what a client says first where it cannot be.

    Raises
    ------
    ValueError
        Says why.
    """
    groups = numbered(content, "sums/")
    require_records(content, ["encoder", *(f"{record}/{g}" for g in groups for record in ("sums", "classes"))])
    encoder = read_values(content, "encoder", ENCODER)
    if not groups or encoder["stack"] * encoder["dimension"] > MOST_WINDOW:
        raise ValueError("it has no machine, or its windows are too large")
    moments = Numbers("float64", (encoder["dimension"],))
    for group in groups:
        classes = read_values(content, f"classes/{group}", CLASSES)
        if not classes["held"] or len(classes["held"]) != len(classes["clips"]):
            raise ValueError(f"its classes of group {group} and their clips do not fit together")
        if len(set(classes["held"])) < len(classes["held"]):
            raise ValueError(f"it names a class of group {group} twice")
        most = float(sum(classes["clips"])) * MOST_FRAMES
        fields = {"count": Numbers("float64", (), 1, most), "sum": moments, "squares": moments}
        sums = read_arrays(content, f"sums/{group}", fields)
        if (np.square(sums["sum"]) > ROUNDING * sums["count"] * sums["squares"] + ROUNDING).any():
            raise ValueError(f"its sums of squares of group {group} are less than its sums can have")


CLASSES = {
    "held": Value(list, 0, MOST_MACHINES - 1, most=MOST_MACHINES),
    "clips": Value(list, 1, MOST_CLIPS, most=MOST_MACHINES),
}
ROUNDING = 1 + 1e-6


def _window(content: RecordDict) -> tuple[object, ...]:
    return tuple(content.config_records["encoder"][name] for name in ("stack", "stack-hop", "dimension"))


def _group(config: RunConfig, number: int, members: Mapping[int, RecordDict]) -> Group:
    """Build a group from the statistics of its clients."""
    clips: dict[int, dict[int, int]] = {}
    for client, content in members.items():
        said: Any = content.config_records[f"classes/{number}"]
        clips[client] = dict(zip(map(int, said["held"]), map(int, said["clips"]), strict=True))
    owners = {client: list(held) for client, held in clips.items()}
    mean, deviation = pooled_statistics([from_record(m.array_records[f"sums/{number}"]) for m in members.values()])
    encoder = next(iter(members.values())).config_records["encoder"]
    stack, hop, dimension = (int(str(encoder[name])) for name in ("stack", "stack-hop", "dimension"))
    classes, training = 1 + max(c for held in owners.values() for c in held), settings_of(config).training
    settings = ClassifierSettings(training.backbone, dimension, stack, hop, classes, training.normalization)
    seed = derive(config.seed, "id-classifier", number)
    start = start_model(settings, mean, deviation, config.class_head, seed)
    counts = {client: sum(held.values()) for client, held in clips.items()}
    frames = {c: int(from_record(m.array_records[f"sums/{number}"])["count"][()]) for c, m in members.items()}
    return Group(number, owners, class_clips(clips, classes), start, counts, frames)


def class_clips(clips: Mapping[int, Mapping[int, int]], classes: int) -> list[int]:
    """Clips of each class at all clients together."""
    return [sum(held.get(c, 0) for held in clips.values()) for c in range(classes)]
