"""What a run of a method will send, before it is begun: what the methods' own counts are made of.

Bytes are counted from what a method says that it sends; the size of the classifier on PyTorch's meta device, where
tensors have shapes and no numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import window_count
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.config import RunConfig

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry

ARRAY_HEADER = 170  # bytes around an array's numbers: name, type, shape
SCORE, SCORE_ARRAYS = 33, 6  # bytes of a test clip's number, score, threshold, decision, p-value, class; their arrays
Seconds = tuple[float, ...]


@dataclass(frozen=True)
class Holding:
    """One machine at one client: lengths in s of its clips for training, calibration and test."""

    client: int
    group: int
    machine_class: int
    train: Seconds
    calibration: Seconds
    test: Seconds

    @property
    def all(self) -> Seconds:
        """Lengths of all clips."""
        return self.train + self.calibration + self.test


@dataclass(frozen=True)
class Bytes:
    """Bytes from all clients to the server, and from the server to all clients."""

    up: int
    down: int

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.up + other.up, self.down + other.down)


@dataclass(frozen=True)
class Arrays:
    """How many arrays, and of how many bytes all together."""

    count: int
    size: int

    def __add__(self, other: Arrays) -> Arrays:
        return Arrays(self.count + other.count, self.size + other.size)

    @property
    def sent(self) -> int:
        """Bytes of a message that holds them."""
        return self.size + self.count * ARRAY_HEADER


@dataclass(frozen=True)
class Part:
    """What one party trains on in the whole run."""

    windows: int
    steps: int


@dataclass(frozen=True)
class Group:
    """One group of machines and its ID classifier.

    Parameters
    ----------
    settings : ClassifierSettings
    clients : tuple of int
        Who holds machines of it.
    parts : tuple of Part
        What each of the clients trains on; none where the server trains.
    """

    settings: ClassifierSettings
    clients: tuple[int, ...]
    parts: tuple[Part, ...] = ()


def share_nothing(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Bytes:
    """Count scores alone."""
    return scores_sent(holdings)


def scores_sent(holdings: Sequence[Holding]) -> Bytes:
    """Return the bytes of all clients' scores."""
    clients = len({holding.client for holding in holdings})
    clips = sum(len(holding.test) for holding in holdings)
    return Bytes(SCORE * clips + SCORE_ARRAYS * ARRAY_HEADER * clients, 0)


def frames_of(entry: EncoderEntry, seconds: float) -> int:
    """Frames T of a clip."""
    return entry.frames(round(seconds * entry.spec.sample_rate))


def windows_of(entry: EncoderEntry, lengths: Seconds, stack: int, hop: int) -> int:
    """Windows of so many frames of some clips."""
    return sum(count * window_count(frames_of(entry, s), stack, hop) for s, count in Counter(lengths).items())


def groups_of(
    config: RunConfig,
    entry: EncoderEntry,
    holdings: Iterable[Holding],
    backbone: str,
    divide: Callable[[Sequence[Holding]], tuple[Part, ...]] = lambda members: (),
) -> list[Group]:
    """Return the groups whose machines an ID classifier is trained to tell apart.

    Parameters
    ----------
    backbone : str
    divide : callable
        Machines of one group -> what each of its clients trains on.
    """
    members: dict[int, list[Holding]] = defaultdict(list)
    for holding in holdings:
        members[holding.group].append(holding)
    return [
        Group(
            ClassifierSettings(
                *(backbone, entry.spec.dimension, entry.spec.stack, entry.spec.stack_hop),
                *(1 + max(holding.machine_class for holding in own), config.normalization),
            ),
            tuple(sorted({holding.client for holding in own})),
            divide(own),
        )
        for own in members.values()
    ]


def trained_on(entry: EncoderEntry, held: Sequence[Holding], training: TrainingSettings) -> Part:
    """As `WindowSampler` and `draw_epoch` make batches: as many windows of each class."""
    classes = len({holding.machine_class for holding in held})
    windows = sum(windows_of(entry, holding.train, entry.spec.stack, entry.spec.stack_hop) for holding in held)
    size = classes * (training.windows_per_class or windows // classes)
    return Part(training.epochs * size, training.epochs * max(1, size // training.batch))


@lru_cache
def model_arrays(settings: ClassifierSettings) -> Arrays:
    """Arrays of the ID classifier, as they travel."""
    return arrays_of(new_model(settings))


def new_model(settings: ClassifierSettings) -> IdClassifier:
    """Build an ID classifier that has shapes and no numbers."""
    with torch.device("meta"):
        return IdClassifier(settings).train()


def arrays_of(module: nn.Module) -> Arrays:
    """Count the arrays of a module."""
    tensors = module.state_dict().values()
    return Arrays(len(tensors), sum(t.numel() * t.element_size() for t in tensors))
