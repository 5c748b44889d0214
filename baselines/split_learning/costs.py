"""What a run of split learning will send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from baselines.client_training.costs import sent_beside_training, trained_groups
from baselines.client_training.rounds import settings_of
from collab_asd.classifier.backbones import TwoStages
from collab_asd.classifier.model import ClassifierSettings
from collab_asd.config import RunConfig
from collab_asd.methods.costs import ARRAY_HEADER, Arrays, Bytes, Group, Holding, arrays_of, new_model

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry

WINDOW_LABELS = 8  # bytes: class of a window, and of what it is mixed with
STEP_ARRAYS = 4  # activations, two kinds of labels, share


@dataclass(frozen=True)
class Cut:
    """What is sent of the first stage of the ID classifier.

    Parameters
    ----------
    stage, moments : Arrays
        The stage, and what AdamW remembers of it after the first step.
    activations : int
        Numbers that a window becomes.
    """

    stage: Arrays
    moments: Arrays
    activations: int


def describe_costs(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Bytes:
    """Count activations for gradients, and the first stage from turn to turn."""
    groups = trained_groups(config, entry, holdings)
    return sum((_steps_sent(config, group) for group in groups), sent_beside_training(holdings, groups))


def _steps_sent(config: RunConfig, group: Group) -> Bytes:
    """Activations for gradients; the stage and AdamW's moments handed on each round, no moments at first."""
    cut, rounds, clients = model_cut(group.settings), settings_of(config).rounds, len(group.clients)
    first = cut.stage.sent
    stage_state = first if config.optimizer == "sgd" else (cut.stage + cut.moments).sent
    beginners = clients if config.method == "splitfed" else 1
    windows, steps = (sum(getattr(part, name) for part in group.parts) for name in ("windows", "steps"))
    numbers = 4 * windows * cut.activations
    labels = windows * WINDOW_LABELS + steps * STEP_ARRAYS * ARRAY_HEADER
    standardisation = 2 * 4 * group.settings.dimension + 2 * ARRAY_HEADER
    turns = rounds * clients
    stages_down = (turns - beginners) * stage_state + beginners * first
    down = numbers + steps * ARRAY_HEADER + stages_down + turns * standardisation
    return Bytes(numbers + labels + turns * stage_state, down)


@lru_cache
def model_cut(settings: ClassifierSettings) -> Cut:
    """Return the sizes of the first stage of the ID classifier."""
    backbone = new_model(settings).backbone
    if not isinstance(backbone, TwoStages):
        raise TypeError(f"backbone {settings.backbone!r} cannot be split")
    sent = backbone.first(torch.empty(2, 1, settings.stack, settings.dimension, device="meta"))
    learnt = list(backbone.first.parameters())
    moments = Arrays(3 * len(learnt), sum(2 * 4 * p.numel() + 4 for p in learnt))  # two of each, and a count
    return Cut(arrays_of(backbone.first), moments, sent[0].numel())
