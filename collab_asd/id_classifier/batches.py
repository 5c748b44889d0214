"""Batches to train f_s on: which windows, and which of them are mixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collab_asd.id_classifier.model import IdClassifier
from collab_asd.id_classifier.sampling import Indices, WindowSampler
from collab_asd.id_classifier.settings import TrainingSettings


@dataclass(frozen=True)
class Draw:
    """One batch, as drawn: each window is mixed with a partner of the same batch (H. Zhang et al., arXiv:1710.09412).

    Parameters
    ----------
    windows : Indices
        ``[B]``: numbers of the sampler's windows.
    partners : Indices
        ``[B]``: positions in the batch.
    share : float
        Of the window itself in the mixture; 1 where nothing is mixed.
    """

    windows: Indices
    partners: Indices
    share: float


@dataclass(frozen=True)
class Labels:
    """Classes ``[B]`` of the windows of a batch and of what they were mixed with."""

    own: Tensor
    partners: Tensor
    share: float


def steps_per_epoch(sampler: WindowSampler, settings: TrainingSettings) -> int:
    """Batches of one epoch, as `draw_epoch` returns them."""
    return max(1, sampler.epoch_size(settings.windows_per_class) // settings.batch)


def draw_epoch(sampler: WindowSampler, settings: TrainingSettings, random: np.random.Generator) -> list[Draw]:
    """Draw the batches of one epoch; of nearly the same size, since one window alone has no batch statistics."""
    windows = sampler.epoch(random, settings.windows_per_class)
    return [
        _mixed(batch, settings.mixup, random) for batch in np.array_split(windows, steps_per_epoch(sampler, settings))
    ]


def gather(sampler: WindowSampler, draw: Draw, model: IdClassifier) -> Tensor:
    """Copy the windows of a batch, standardise and mix them -> ``[B, stack, D]``, on the model's device."""
    x = model.standardize(torch.from_numpy(sampler.gather(draw.windows)).to(model.mean.device))
    return x if draw.share == 1 else draw.share * x + (1 - draw.share) * x[torch.from_numpy(draw.partners)]


def labels_of(sampler: WindowSampler, draw: Draw) -> Labels:
    """Return the classes of a batch."""
    own = torch.from_numpy(sampler.classes[draw.windows])
    return Labels(own, own[torch.from_numpy(draw.partners)], draw.share)


def _mixed(windows: Indices, mixup: float, random: np.random.Generator) -> Draw:
    if mixup == 0:
        return Draw(windows, np.arange(len(windows)), 1.0)
    return Draw(windows, random.permutation(len(windows)), float(random.beta(mixup, mixup)))
