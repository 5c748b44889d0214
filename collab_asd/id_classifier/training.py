"""Training f_s to tell machines apart by their embeddings: outlier exposure (paper, Algorithm 1, line 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler

from collab_asd.errors import InputError
from collab_asd.id_classifier.model import ClassifierSettings, IdClassifier
from collab_asd.id_classifier.sampling import Indices, WindowSampler, input_statistics
from collab_asd.id_classifier.sizes import EMBEDDING_SIZE
from collab_asd.interfaces import FloatArray

Progress = Callable[[int, float], None]
Head = Literal["arcface", "fixed", "positive"]
ENOUGH = 0.9  # cosine beyond which a window is not pulled any more


@dataclass(frozen=True)
class TrainingSettings:
    """How f_s is trained.

    Parameters
    ----------
    backbone : str
        ``"mobilefacenet"`` or ``"light"``.
    epochs, batch : int
        Passes, and windows per step.
    windows_per_class : int or None
        Windows drawn of each machine in an epoch; None takes them all.
    learning_rate : float
        Of AdamW; the highest one where there is a schedule.
    one_cycle : bool
        Raise the learning rate from near zero and let it fall again (L. Smith, arXiv:1708.07120).
    margin : float
        Of ArcFace, in degrees.
    scale : float
        Of ArcFace: what cosines are multiplied with before the softmax.
    weight_decay : float
        Of AdamW.
    mixup : float
        Parameter of the symmetric beta distribution that shares of two mixed windows are drawn from
        (H. Zhang et al., arXiv:1710.09412); 0 mixes none.
    head : {"arcface", "fixed", "positive"}
        How class directions are learnt: by ArcFace; not at all (they stay where they are); or by pulling each window to
        the direction of its own class alone, up to a cosine of 0.9 (F. X. Yu et al., ICML 2020).
    proximal : float
        Weight mu of ``mu / 2 |w - w_0|^2``, the squared distance to the weights that training started from (T. Li et
        al., "Federated optimization in heterogeneous networks", MLSys 2020).
    """

    backbone: str
    epochs: int
    batch: int
    windows_per_class: int | None
    learning_rate: float
    one_cycle: bool
    margin: float = 28.6
    scale: float = 64.0
    weight_decay: float = 0.01
    mixup: float = 0.0
    head: Head = "arcface"
    proximal: float = 0.0


PRESETS = {
    # Section V-B of the paper; margin and scale are those of ArcFace, section 3.
    "paper": TrainingSettings("mobilefacenet", 20, 32, None, 1e-4, one_cycle=False),
    # Chosen on toycar_tune. Few epochs on purpose: a network that has learned its machines by heart maps all normal
    # clips of one to a point, and with them the faults that were to be found.
    "fast": TrainingSettings("light", 3, 64, 700, 5e-3, one_cycle=True, scale=16.0, mixup=0.5),
}


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
) -> IdClassifier:
    """Train f_s on the normal clips of one group of machines.

    The same input, seed, thread count and settings give the same weights, whatever ran before; the caller's random
    state is left as it was. Every class gives the same number of windows to an epoch, however many clips it has.

    Parameters
    ----------
    clips : sequence of FloatArray
        Frames ``[T_i, D]`` of each clip; read by windows and never copied whole.
    classes : sequence of int
        Of each clip, its machine's index 0 .. C-1 in the group.
    stack, stack_hop : int
        Frames in one window, and between the starts of two.
    device : str
        A PyTorch device.
    progress : callable, optional
        Called with the epoch, from 1, and its mean loss.

    Raises
    ------
    InputError
        Fewer than two classes, no clips, or frames that are not finite.
    """
    _require_two(classes)
    mean, deviation = input_statistics(clips, classes)
    model = new_classifier(
        ClassifierSettings(settings.backbone, len(mean), stack, stack_hop, max(classes) + 1), mean, deviation, seed
    )
    fit(model.to(device), clips, classes, settings, seed, progress)
    return model


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
        self._device = model.mean.device
        classes = model.settings.classes
        self._head = _head(classes, settings).to(self._device)
        with torch.no_grad():
            self._head.W.copy_(model.directions)
        self._start = [p.detach().clone() for p in model.parameters()] if settings.proximal else []
        parameters = [*model.parameters(), *(p for p in self._head.parameters() if p.requires_grad)]
        self._optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self._schedule = self._learning_rates()

    def run(self, progress: Progress | None) -> None:
        self._model.train()
        for epoch in range(1, self._settings.epochs + 1):
            loss = float(np.mean([self._step(batch) for batch in self._batches()]))
            if progress:
                progress(epoch, loss)
        with torch.no_grad():
            self._model.directions.copy_(self._head.W)

    def _learning_rates(self) -> LRScheduler:
        settings = self._settings
        if not settings.one_cycle:
            return torch.optim.lr_scheduler.ConstantLR(self._optimizer, factor=1.0, total_iters=0)
        steps = settings.epochs * self._steps_per_epoch()
        return torch.optim.lr_scheduler.OneCycleLR(self._optimizer, settings.learning_rate, total_steps=steps)

    def _steps_per_epoch(self) -> int:
        return max(1, self._sampler.epoch_size(self._settings.windows_per_class) // self._settings.batch)

    def _batches(self) -> list[Indices]:
        # Batches of nearly the same size: one window left over would break the statistics of batch normalisation.
        windows = self._sampler.epoch(self._random, self._settings.windows_per_class)
        return np.array_split(windows, self._steps_per_epoch())

    def _step(self, windows: Indices) -> float:
        x = self._model.standardize(torch.from_numpy(self._sampler.gather(windows)).to(self._device))
        y = torch.from_numpy(self._sampler.classes[windows]).to(self._device)
        self._optimizer.zero_grad()
        loss = self._loss(x, y) + self._distance_penalty()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        return float(loss.detach())

    def _distance_penalty(self) -> Tensor | float:
        pairs = zip(self._model.parameters(), self._start, strict=False)
        return self._settings.proximal / 2 * sum(((now - start) ** 2).sum() for now, start in pairs)

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        if self._settings.mixup == 0:
            return self._head(self._model.embed_standardized(x), y)  # type: ignore[no-any-return]
        partner = torch.from_numpy(self._random.permutation(len(x)))
        own = float(self._random.beta(self._settings.mixup, self._settings.mixup))
        embedding = self._model.embed_standardized(own * x + (1 - own) * x[partner])
        return own * self._head(embedding, y) + (1 - own) * self._head(embedding, y[partner])  # type: ignore[no-any-return]


class _PositiveLoss(nn.Module):
    """Pulls embeddings to the direction of their class, and pushes nothing away."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(EMBEDDING_SIZE, classes))

    def forward(self, embeddings: Tensor, classes: Tensor) -> Tensor:
        """Mean of ``max(0, 0.9 - cosine)^2`` over ``[B, 128]``."""
        own = F.normalize(self.W, dim=0).T[classes]
        return F.relu(ENOUGH - (F.normalize(embeddings) * own).sum(dim=1)).square().mean()


def _head(classes: int, settings: TrainingSettings) -> ArcFaceLoss | _PositiveLoss:
    if settings.head == "positive":
        return _PositiveLoss(classes)
    return ArcFaceLoss(classes, EMBEDDING_SIZE, settings.margin, settings.scale).requires_grad_(
        settings.head == "arcface"
    )
