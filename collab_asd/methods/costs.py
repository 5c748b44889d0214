"""What a run of a method will send and compute, before it is begun: what the methods' own counts are made of.

Bytes are counted from what a method says that it sends. The sizes of f_s and the multiply-accumulates of a window are
counted on PyTorch's meta device, where tensors have shapes and no numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import window_count
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.config import RunConfig

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry

ARRAY_HEADER = 170  # bytes around an array's numbers: name, type, shape
SCORE, SCORE_ARRAYS = 25, 5  # bytes of a test clip's score: number, score, threshold, decision, class; and their arrays
WINDOWS = 2  # one alone has no batch statistics
INPUT_MACS = 175  # of a network in training that cost as much as to copy, standardise and mix one number of its input

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
class Work:
    """Multiply-accumulates and steps of a run, those of all clients together, beside encoding and scoring points."""

    server_macs: float = 0.0
    server_steps: int = 0
    client_macs: float = 0.0
    client_steps: int = 0


@dataclass(frozen=True)
class Costs:
    """What a run sends, its messages of a few numbers left out, and what it computes."""

    sent: Bytes
    work: Work


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
class WindowCost:
    """Multiply-accumulates of one window: in a step of training, forward and backward; and in scoring."""

    training: float
    scoring: float


@dataclass(frozen=True)
class Part:
    """What one party trains on in the whole run."""

    windows: int
    steps: int


@dataclass(frozen=True)
class Group:
    """One group of machines and its f_s.

    Parameters
    ----------
    settings : ClassifierSettings
    clients : tuple of int
        Who holds machines of it.
    parts : tuple of Part
        Who trains: the server, or each of the clients.
    scored : int
        Windows of all clips, each of which is embedded to be scored or compared with.
    """

    settings: ClassifierSettings
    clients: tuple[int, ...]
    parts: tuple[Part, ...]
    scored: int

    @property
    def trained_macs(self) -> float:
        """Multiply-accumulates of training."""
        window = model_cost(self.settings).training + INPUT_MACS * self.settings.stack * self.settings.dimension
        return window * sum(part.windows for part in self.parts)

    @property
    def steps(self) -> int:
        """Steps of training."""
        return sum(part.steps for part in self.parts)

    @property
    def scored_macs(self) -> float:
        """Multiply-accumulates of scoring."""
        return model_cost(self.settings).scoring * self.scored


def share_nothing(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Costs:
    """Count what scores alone cost."""
    return Costs(scores_sent(holdings), Work())


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
    divide: Callable[[Sequence[Holding]], tuple[Part, ...]],
) -> list[Group]:
    """Return the groups whose machines an f_s is trained to tell apart.

    Parameters
    ----------
    backbone : str
    divide : callable
        Machines of one group -> who trains, on how much.
    """
    members: dict[int, list[Holding]] = defaultdict(list)
    for holding in holdings:
        members[holding.group].append(holding)
    return [_group(config, entry, own, backbone, divide(own)) for own in members.values()]


def _group(
    config: RunConfig, entry: EncoderEntry, members: Sequence[Holding], backbone: str, parts: tuple[Part, ...]
) -> Group:
    clients = tuple(sorted({holding.client for holding in members}))
    classes = 1 + max(holding.machine_class for holding in members)
    spec = entry.spec
    settings = ClassifierSettings(backbone, spec.dimension, spec.stack, spec.stack_hop, classes, config.normalization)
    scored = sum(windows_of(entry, holding.all, spec.stack, spec.stack_hop) for holding in members)
    return Group(settings, clients, parts, scored)


def trained_on(entry: EncoderEntry, held: Sequence[Holding], training: TrainingSettings) -> Part:
    """As `WindowSampler` and `draw_epoch` make batches: as many windows of each class."""
    classes = len({holding.machine_class for holding in held})
    windows = sum(windows_of(entry, holding.train, entry.spec.stack, entry.spec.stack_hop) for holding in held)
    size = classes * (training.windows_per_class or windows // classes)
    return Part(training.epochs * size, training.epochs * max(1, size // training.batch))


@lru_cache
def model_arrays(settings: ClassifierSettings) -> Arrays:
    """Arrays of f_s, as they travel."""
    return arrays_of(new_model(settings))


def model_cost(settings: ClassifierSettings) -> WindowCost:
    """Cost of a window ``[stack, D]`` in f_s; how many classes there are, and how it is normalised, hardly matters."""
    return _backbone_cost(replace(settings, classes=1, normalization="batch"))


@lru_cache
def _backbone_cost(settings: ClassifierSettings) -> WindowCost:
    windows = torch.empty(WINDOWS, settings.stack, settings.dimension, device="meta")
    return window_cost(new_model(settings), windows)


def new_model(settings: ClassifierSettings) -> IdClassifier:
    """Build an f_s that has shapes and no numbers."""
    with torch.device("meta"):
        return IdClassifier(settings).train()


def arrays_of(module: nn.Module) -> Arrays:
    """Count the arrays of a module."""
    tensors = module.state_dict().values()
    return Arrays(len(tensors), sum(t.numel() * t.element_size() for t in tensors))


def window_cost(forward: Callable[[Tensor], Tensor], windows: Tensor) -> WindowCost:
    """Count a step forward over `WINDOWS` windows, which is as much as scoring, and back."""
    with FlopCounterMode(display=False) as counter:
        loss = forward(windows).sum()
        scoring = counter.get_total_flops()
        loss.backward()  # type: ignore[no-untyped-call]
    return WindowCost(counter.get_total_flops() / 2 / WINDOWS, scoring / 2 / WINDOWS)
