"""How large f_s and local networks are, and what a window costs.

For f_s both are counted on PyTorch's meta device, where tensors have shapes and no numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.local_networks.detector import LocalDetector
from collab_asd.id_classifier.model import ClassifierSettings, IdClassifier
from collab_asd.id_classifier.stages import TwoStages

WINDOWS = 2  # one alone has no batch statistics


@dataclass(frozen=True)
class Arrays:
    """How many arrays, and of how many bytes all together."""

    count: int
    size: int

    def __add__(self, other: Arrays) -> Arrays:
        return Arrays(self.count + other.count, self.size + other.size)


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one window: in a step of training, forward and backward; and in scoring."""

    training: float
    scoring: float


@dataclass(frozen=True)
class Cut:
    """What split learning sends of f_s's first stage.

    Parameters
    ----------
    stage, moments : Arrays
        The stage, and what its optimiser remembers of it after the first step.
    activations : int
        Numbers that a window becomes.
    """

    stage: Arrays
    moments: Arrays
    activations: int


@lru_cache
def model_arrays(settings: ClassifierSettings) -> Arrays:
    """Arrays of f_s, as they travel."""
    return _arrays(_model(settings))


def model_cost(settings: ClassifierSettings) -> Cost:
    """Cost of a window ``[stack, D]`` in f_s; how many classes there are, and how it is normalised, hardly matters."""
    return _backbone_cost(replace(settings, classes=1, normalization="batch"))


@lru_cache
def _backbone_cost(settings: ClassifierSettings) -> Cost:
    windows = torch.empty(WINDOWS, settings.stack, settings.dimension, device="meta")
    return _cost(_model(settings), windows)


@lru_cache
def model_cut(settings: ClassifierSettings) -> Cut:
    """Return the sizes of the first stage of f_s."""
    backbone = _model(settings).backbone
    if not isinstance(backbone, TwoStages):
        raise TypeError(f"backbone {settings.backbone!r} cannot be split")
    sent = backbone.first(torch.empty(WINDOWS, 1, settings.stack, settings.dimension, device="meta"))
    learnt = list(backbone.first.parameters())
    moments = Arrays(3 * len(learnt), sum(2 * 4 * p.numel() + 4 for p in learnt))  # of AdamW: two moments and a count
    return Cut(_arrays(backbone.first), moments, sent[0].numel())


def network_cost(detector: LocalDetector, bands: int) -> Cost:
    """Cost of a window ``[stack, D]`` in a local network, with numbers: a flow asks for them while it is built."""
    with torch.random.fork_rng(devices=[]):
        network, windows = detector.build(bands), torch.randn(WINDOWS, detector.settings.stack, bands)
        return _cost(network.loss, windows)


def _model(settings: ClassifierSettings) -> IdClassifier:
    with torch.device("meta"):
        return IdClassifier(settings).train()


def _arrays(module: nn.Module) -> Arrays:
    tensors = module.state_dict().values()
    return Arrays(len(tensors), sum(t.numel() * t.element_size() for t in tensors))


def _cost(forward: Callable[[Tensor], Tensor], windows: Tensor) -> Cost:
    """Count a step forward, which is as much as scoring, and back."""
    with FlopCounterMode(display=False) as counter:
        loss = forward(windows).sum()
        scoring = counter.get_total_flops()
        loss.backward()  # type: ignore[no-untyped-call]
    return Cost(counter.get_total_flops() / 2 / WINDOWS, scoring / 2 / WINDOWS)
