"""Training f_s to tell machines apart by their embeddings: outlier exposure (paper, Algorithm 1, line 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from collab_asd.errors import InputError
from collab_asd.id_classifier.batches import Draw, draw_epoch, gather, labels_of, steps_per_epoch
from collab_asd.id_classifier.heads import build_head, mixed_loss
from collab_asd.id_classifier.model import HEAR_WAVEFORMS, ClassifierSettings, IdClassifier
from collab_asd.id_classifier.sampling import WindowSampler, input_statistics, one_gain
from collab_asd.id_classifier.settings import TrainingSettings
from collab_asd.interfaces import FloatArray
from collab_asd.progress import step

Progress = Callable[[int, float], None]


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
) -> IdClassifier:
    """Train f_s on the normal clips of one group of machines.

    The same input, seed, thread count and settings give the same weights, whatever ran before; the caller's random
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

    Raises
    ------
    InputError
        Fewer than two classes, no clips, or frames that are not finite.
    """
    _require_two(classes)
    mean, deviation = input_statistics(clips, classes)
    labels = tuple(sorted(set(classes)))
    gaps = labels != tuple(range(len(labels)))
    network = ClassifierSettings(
        settings.backbone, len(mean), stack, stack_hop, len(labels), settings.normalization, labels if gaps else ()
    )
    model = new_classifier(network, mean, deviation, seed)
    if start is not None:
        _take_over(model, start, labels)
    fit(model.to(device), clips, np.searchsorted(labels, classes).tolist(), settings, seed, progress)
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
    """Make an untrained f_s, class directions and all; the caller's random state is left as it was.

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
) -> None:
    """Train f_s from where it stands, on the device that it is on; parameters as of `train`.

    One class is enough here: a client of a federation may hold no other.
    """
    sampler = WindowSampler(clips, classes, model.settings.stack, model.settings.stack_hop)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _Trainer(model, sampler, settings, seed).run(progress)
    model.eval()


def _require_two(classes: Sequence[int]) -> None:
    found = len(set(classes))
    if found < 2:
        raise InputError(
            f"the ID classifier learns by telling machines apart and got the normal clips of {found}: "
            "add another machine of the same type, or set group-by='all'"
        )


class _Trainer:
    """One training run: model, head, optimiser, schedule and random numbers."""

    def __init__(self, model: IdClassifier, sampler: WindowSampler, settings: TrainingSettings, seed: int) -> None:
        self._model, self._sampler, self._settings = model, sampler, settings
        self._random = np.random.default_rng(seed)
        self._head = build_head(model.directions, settings)
        self._start = [p.detach().clone() for p in model.parameters()] if settings.proximal else []
        self._optimizer = build_optimizer([*model.parameters(), *self._head.parameters()], settings)
        self._schedule = self._learning_rates()

    def run(self, progress: Progress | None) -> None:
        self._model.train()
        batches = self._settings.epochs * steps_per_epoch(self._sampler, self._settings)
        with step("training batches of the ID classifier", batches, even=True) as advance:
            for epoch in range(1, self._settings.epochs + 1):
                losses = []
                for draw in draw_epoch(self._sampler, self._settings, self._random):
                    losses.append(self._step(draw))
                    advance()
                if progress:
                    progress(epoch, float(np.mean(losses)))
        with torch.no_grad():
            self._model.directions.copy_(self._head.W)

    def _learning_rates(self) -> LRScheduler:
        settings = self._settings
        if not settings.one_cycle:
            return torch.optim.lr_scheduler.ConstantLR(self._optimizer, factor=1.0, total_iters=0)
        steps = settings.epochs * steps_per_epoch(self._sampler, settings)
        return torch.optim.lr_scheduler.OneCycleLR(self._optimizer, settings.learning_rate, total_steps=steps)

    def _step(self, draw: Draw) -> float:
        self._optimizer.zero_grad()
        embeddings = self._model.embed_standardized(gather(self._sampler, draw, self._model))
        loss = mixed_loss(self._head, embeddings, labels_of(self._sampler, draw)) + self._distance_penalty()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        return float(loss.detach())

    def _distance_penalty(self) -> Tensor | float:
        pairs = zip(self._model.parameters(), self._start, strict=False)
        return self._settings.proximal / 2 * sum(((now - start) ** 2).sum() for now, start in pairs)


def build_optimizer(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW on those of some parameters that are to be learnt."""
    learnt = [p for p in parameters if p.requires_grad]
    return torch.optim.AdamW(learnt, lr=settings.learning_rate, weight_decay=settings.weight_decay)
