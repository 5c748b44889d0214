"""The server's frame around every method of this kind: statistics, training group by group, then the scores.

Each group of machines (each machine type) has a model of its own, as in embedding sharing, and the clients that hold
machines of it train it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import Message, RecordDict

from baselines.client_training.rounds import pooled_statistics, settings_of, start_model
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.config import RunConfig
from collab_asd.core.progress import step
from collab_asd.core.runtime import Stopwatch
from collab_asd.core.seeding import derive
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import STATISTICS, from_record, put_classifiers
from collab_asd.federation.roster import require_same_encoder
from collab_asd.federation.scoring import ClientScores, ScoreGathering


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
    """

    number: int
    owners: Mapping[int, list[int]]
    class_clips: list[int]
    start: IdClassifier


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

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Train one model per group, and return the clients' scores."""
        with self.watch("embed"), step(f"waiting until {len(grid.clients)} clients have embedded their recordings"):
            replies = grid.send_and_receive([Message(RecordDict(), node, STATISTICS) for node in grid.clients.values()])
            statistics = {grid.client_of(reply): reply.content for reply in replies}
        require_same_encoder({c: str(said.config_records["encoder"]["digest"]) for c, said in statistics.items()})
        for client, said in statistics.items():
            self._groups[client] = sorted(int(name.removeprefix("sums/")) for name in said.array_records)
        with self.watch("train"):
            for number in sorted({group for groups in self._groups.values() for group in groups}):
                members = {c: content for c, content in statistics.items() if number in self._groups[c]}
                self._classifiers[number] = self.train(_group(self.config, number, members), grid.only(members))
        with self.watch("score"):
            return self.conduct(grid)

    def score_request(self, client: int) -> RecordDict:
        """Send the ID classifier of each of the client's groups."""
        return put_classifiers(self._classifiers, self._groups[client])


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
    return Group(number, owners, class_clips(clips, classes), start)


def class_clips(clips: Mapping[int, Mapping[int, int]], classes: int) -> list[int]:
    """Clips of each class at all clients together."""
    return [sum(held.get(c, 0) for held in clips.values()) for c in range(classes)]
