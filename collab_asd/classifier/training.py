"""Training the ID classifier f_s to tell machines apart: outlier exposure (paper, Algorithm 1, line 5).

Windows are drawn in batches, some of them mixed, and compared with directions of the classes on the sphere.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from collab_asd.classifier.backbones import EMBEDDING_SIZE
from collab_asd.classifier.model import CHEAP, HEAR_WAVEFORMS, ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import Indices, WindowSampler, input_statistics, one_gain
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.progress import step
from collab_asd.core.runtime import one_thread
from collab_asd.core.types import FloatArray

log = logging.getLogger(__name__)
SECONDS_AT_RISK = 30.0  # of training, before an epoch's end is worth a file
ENOUGH = 0.9  # cosine beyond which a window is not pulled any more
Loss: TypeAlias = "ArcFaceLoss | PositiveLoss"
Progress = Callable[[int, float], None]


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
    windows, draws = sampler.epoch(random, settings.windows_per_class), []
    for batch in np.array_split(windows, steps_per_epoch(sampler, settings)):
        if settings.mixup:
            partners, share = random.permutation(len(batch)), float(random.beta(settings.mixup, settings.mixup))
            draws.append(Draw(batch, partners, share))
        else:
            draws.append(Draw(batch, np.arange(len(batch)), 1.0))
    return draws


def gather(sampler: WindowSampler, draw: Draw, model: IdClassifier) -> Tensor:
    """Copy the windows of a batch, standardise and mix them -> ``[B, stack, D]``, on the model's device."""
    x = model.standardize(torch.from_numpy(sampler.gather(draw.windows)).to(model.mean.device))
    return x if draw.share == 1 else draw.share * x + (1 - draw.share) * x[torch.from_numpy(draw.partners)]


def labels_of(sampler: WindowSampler, draw: Draw) -> Labels:
    """Return the classes of a batch."""
    own = torch.from_numpy(sampler.classes[draw.windows])
    return Labels(own, own[torch.from_numpy(draw.partners)], draw.share)


class PositiveLoss(nn.Module):
    """Pulls embeddings to the direction of their class, and pushes nothing away (F. X. Yu et al., ICML 2020)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(EMBEDDING_SIZE, classes))

    def forward(self, embeddings: Tensor, classes: Tensor) -> Tensor:
        """Mean of ``max(0, 0.9 - cosine)^2`` over ``[B, 128]``."""
        own = F.normalize(self.W, dim=0).T[classes]
        return F.relu(ENOUGH - (F.normalize(embeddings) * own).sum(dim=1)).square().mean()


def build_head(directions: Tensor, settings: TrainingSettings) -> Loss:
    """Build the loss of ``settings.head`` around class directions ``[128, C]``, which are copied."""
    head: Loss = PositiveLoss(directions.shape[1])
    if settings.head != "positive":
        head = ArcFaceLoss(directions.shape[1], EMBEDDING_SIZE, settings.margin, settings.scale)
        head.requires_grad_(settings.head == "arcface")
    head.to(directions.device)
    with torch.no_grad():
        head.W.copy_(directions)
    return head


def mixed_loss(head: Loss, embeddings: Tensor, labels: Labels) -> Tensor:
    """Loss of a batch ``[B, 128]``: that of both classes of each window, by their shares in it."""
    own: Tensor = head(embeddings, labels.own.to(embeddings.device))
    if labels.share == 1:
        return own
    return labels.share * own + (1 - labels.share) * head(embeddings, labels.partners.to(embeddings.device))  # type: ignore[no-any-return]


def train(
    clips: Sequence[FloatArray],
    classes: Sequence[int],
    settings: TrainingSettings,
    seed: int,
    *,
    stack: int,
    stack_hop: int,
    device: str = "cpu",
    progress: Progress | None = None,
    start: IdClassifier | None = None,
    checkpoint: Path | None = None,
) -> IdClassifier:
    """Train the ID classifier on the normal clips of one group of machines.

    The same input, seed and settings give the same weights, whatever ran before, and of the light network whatever the
    number of threads; the caller's random
    state is left as it was. Every class gives the same number of windows to an epoch, however many clips it has.

    Parameters
    ----------
    clips : sequence of FloatArray
        Frames ``[T_i, D]`` of each clip; read by windows and never copied whole.
    classes : sequence of int
        Of each clip, its machine's number in the group.
    stack, stack_hop : int
        Frames in one window, and between the starts of two.
    device : str
        A PyTorch device.
    progress : callable, optional
        Called with the epoch, from 1, and its mean loss.
    start : IdClassifier, optional
        What to go on from, in place of random weights; classes that it does not know begin with random directions.
    checkpoint : Path, optional
        File of this very training: it goes on behind the last epoch that is kept there, and ends with the same weights.

    Raises
    ------
    InputError
        Fewer than two classes, no clips, or frames that are not finite.
    """
    labels = tuple(sorted(set(classes)))
    if len(labels) < 2:
        raise InputError(
            f"the ID classifier learns by telling machines apart and got the normal clips of {len(labels)}: "
            "add another machine of the same type, set group-by='all' if there are others, or share nothing "
            "(method local-mahalanobis)"
        )
    mean, deviation = input_statistics(clips, classes)
    gaps = labels != tuple(range(len(labels)))
    network = ClassifierSettings(
        settings.backbone, len(mean), stack, stack_hop, len(labels), settings.normalization, labels if gaps else ()
    )
    model = new_classifier(network, mean, deviation, seed)
    if start is not None:
        _take_over(model, start, labels)
    fit(model.to(device), clips, np.searchsorted(labels, classes).tolist(), settings, seed, progress, checkpoint)
    return model


def _take_over(model: IdClassifier, start: IdClassifier, labels: Sequence[int]) -> None:
    """Copy weights, statistics of the input, and directions of the classes that `start` knows."""
    known = start.settings.labels or tuple(range(start.settings.classes))
    state = start.state_dict() | {"directions": model.directions}
    model.load_state_dict(state)
    for place, label in enumerate(labels):
        if label in known:
            model.directions[:, place] = start.directions[:, known.index(label)]


def new_classifier(settings: ClassifierSettings, mean: FloatArray, deviation: FloatArray, seed: int) -> IdClassifier:
    """Make an untrained ID classifier, class directions and all; the caller's random state is left as it was.

    Parameters
    ----------
    settings : ClassifierSettings
    mean, deviation : FloatArray
        ``[D]``: of the frames that it will be trained on, see `input_statistics`.
    seed : int
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = IdClassifier(settings)
        torch.nn.init.normal_(model.directions)
    if settings.backbone in HEAR_WAVEFORMS:
        mean, deviation = one_gain(mean, deviation)
    model.mean.copy_(torch.from_numpy(mean))
    model.scale.copy_(torch.from_numpy(1 / deviation))
    return model


def fit(
    model: IdClassifier,
    clips: Sequence[FloatArray],
    classes: Sequence[int],
    settings: TrainingSettings,
    seed: int,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Train the ID classifier from where it stands, on the device that it is on; parameters as of `train`.

    One class is enough here: a client of a federation may hold no other.
    """
    sampler = WindowSampler(clips, classes, model.settings.stack, model.settings.stack_hop)
    batches = settings.epochs * steps_per_epoch(sampler, settings)
    with one_thread() if settings.backbone in CHEAP else nullcontext(), torch.random.fork_rng():
        random = np.random.default_rng(seed)  # PyTorch draws nothing that stays: a head's weights are overwritten
        head = build_head(model.directions, settings)
        optimizer = build_optimizer([*model.parameters(), *head.parameters()], settings)
        schedule = one_cycle(optimizer, settings, batches) if settings.one_cycle else None
        start = [p.detach().clone() for p in model.parameters()] if settings.proximal else []
        kept = Checkpoint(checkpoint, random, {"model": model, "head": head, "optimizer": optimizer, "rate": schedule})
        done = kept.restore()
        model.train()
        skipped = done * steps_per_epoch(sampler, settings)
        with step("training batches of the ID classifier", batches, done=skipped, even=True) as advance:
            for epoch in range(done + 1, settings.epochs + 1):
                losses = []
                for draw in draw_epoch(sampler, settings, random):
                    optimizer.zero_grad()
                    loss = mixed_loss(head, model(gather(sampler, draw, model)), labels_of(sampler, draw))
                    if start:
                        moved = zip(model.parameters(), start, strict=True)
                        loss = loss + settings.proximal / 2 * sum(((now - then) ** 2).sum() for now, then in moved)
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    if schedule is not None:
                        schedule.step()
                    losses.append(float(loss.detach()))
                    advance()
                if progress:
                    progress(epoch, float(np.mean(losses)))
                kept.keep(epoch)
        with torch.no_grad():
            model.directions.copy_(head.W)
    model.eval()


class Checkpoint:
    """What a training needs to go on after an epoch as if it had never stopped, in a file.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    random : numpy.random.Generator
        Draws the batches.
    parts : mapping of str to object
        What has a ``state_dict``; None is left out.
    """

    def __init__(self, path: Path | None, random: np.random.Generator, parts: dict[str, Any]) -> None:
        self._path, self._random, self._since = path, random, time.monotonic()
        self._parts = {name: part for name, part in parts.items() if part is not None}

    def restore(self) -> int:
        """Take up what is kept; returns the number of epochs that are done, 0 where nothing can be used."""
        if self._path is None or not self._path.exists():
            return 0
        try:
            state = torch.load(self._path, weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            log.warning("%s: damaged (%s); training begins anew", self._path, error)
            return 0
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self._random.bit_generator.state = state["random"]
        log.info("training goes on after epoch %d", state["epoch"])
        return int(state["epoch"])

    def keep(self, epoch: int) -> None:
        """Write the file, if enough has been trained since the last time; a full disk costs a run nothing but this."""
        if self._path is None or time.monotonic() - self._since < SECONDS_AT_RISK:
            return
        state = {name: part.state_dict() for name, part in self._parts.items()}
        try:
            with replacing(self._path) as file:
                torch.save(state | {"random": self._random.bit_generator.state, "epoch": epoch}, file)
        except OSError as error:
            log.warning("%s: epoch %d cannot be kept (%s)", self._path, epoch, error)
        self._since = time.monotonic()


def build_optimizer(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    """Build the optimiser of those of some parameters that are to be learnt."""
    learnt = [p for p in parameters if p.requires_grad]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(learnt, lr=settings.learning_rate)
    return torch.optim.AdamW(learnt, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def one_cycle(optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int) -> OneCycleLR:
    """Let the learning rate rise and fall once over all steps; AdamW's first moment takes the opposite course."""
    return OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps, cycle_momentum=settings.optimizer == "adamw"
    )
