"""How much a run has to train: windows and steps of each client, or of the server, in each group of machines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from baselines.centralized.settings import PRESETS as CENTRALIZED
from baselines.client_training.settings import settings_of
from baselines.fedavg.strategy import STOCK
from baselines.split_learning.strategy import SPLIT_METHODS
from collab_asd.config import RunConfig
from collab_asd.encoders.catalogue import Entry
from collab_asd.id_classifier.model import ClassifierSettings
from collab_asd.id_classifier.settings import PRESETS, TrainingSettings
from collab_asd.id_classifier.windows import window_count
from simulations.forecast.holdings import Holding, Seconds


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


def frames_of(entry: Entry, seconds: float) -> int:
    """Frames T of a clip."""
    return entry.frames(round(seconds * entry.spec.sample_rate))


def windows_of(entry: Entry, lengths: Seconds) -> int:
    """Windows of some clips, as f_s sees them."""
    stack, hop = entry.spec.stack, entry.spec.stack_hop
    return sum(count * window_count(frames_of(entry, s), stack, hop) for s, count in Counter(lengths).items())


def groups_of(config: RunConfig, entry: Entry, holdings: Sequence[Holding]) -> list[Group]:
    """Return the groups whose machines a method trains an f_s to tell apart."""
    members: dict[int, list[Holding]] = defaultdict(list)
    for holding in holdings:
        members[holding.group].append(holding)
    return [_group(config, entry, own) for own in members.values()]


def _group(config: RunConfig, entry: Entry, members: Sequence[Holding]) -> Group:
    clients = tuple(sorted({holding.client for holding in members}))
    if config.method in (*STOCK, *SPLIT_METHODS):
        backbone = settings_of(config).training.backbone
        parts = tuple(_client_part(config, entry, client, members) for client in clients)
    else:
        preset = (CENTRALIZED if config.method == "centralized" else PRESETS)[config.preset]
        training = replace(preset, epochs=config.epochs or preset.epochs)
        backbone, parts = preset.backbone, (_part(entry, members, training),)
    classes = 1 + max(holding.machine_class for holding in members)
    spec = entry.spec
    settings = ClassifierSettings(backbone, spec.dimension, spec.stack, spec.stack_hop, classes, config.normalization)
    return Group(settings, clients, parts, sum(windows_of(entry, holding.all) for holding in members))


def _client_part(config: RunConfig, entry: Entry, client: int, members: Sequence[Holding]) -> Part:
    """As `baselines.client_training` divides windows over rounds and clients."""
    own = [holding for holding in members if holding.client == client]
    everywhere: dict[int, int] = defaultdict(int)
    for holding in members:
        everywhere[holding.machine_class] += len(holding.train)
    share = sum(len(holding.train) / everywhere[holding.machine_class] for holding in own) / len(own)
    settings = settings_of(config, share=share)
    part = _part(entry, own, settings.training)
    return Part(settings.rounds * part.windows, settings.rounds * part.steps)


def _part(entry: Entry, held: Sequence[Holding], training: TrainingSettings) -> Part:
    """As `WindowSampler` and `draw_epoch` make batches: as many windows of each class."""
    classes = len({holding.machine_class for holding in held})
    windows = sum(windows_of(entry, holding.train) for holding in held)
    size = classes * (training.windows_per_class or windows // classes)
    return Part(training.epochs * size, training.epochs * max(1, size // training.batch))
