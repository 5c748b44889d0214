"""One training loop for all networks here: windows of one machine's normal clips in, a lower loss out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from collab_asd.core.progress import step
from collab_asd.core.types import FloatArray

LARGEST_GRADIENT = 100.0  # norm; a flow's likelihood has no upper bound, and one window in a corner must not undo it


@dataclass(frozen=True)
class Budget:
    """How long and how a network is trained.

    Parameters
    ----------
    epochs : int
    batch : int
        Windows per step.
    windows : int or None
        Windows drawn anew for each epoch; None takes them all.
    learning_rate : float
        Of Adam; the highest one where there is a schedule.
    one_cycle : bool
        Raise the learning rate from near zero and let it fall again (L. Smith, arXiv:1708.07120).
    """

    epochs: int
    batch: int
    windows: int | None
    learning_rate: float
    one_cycle: bool = False


class WindowNetwork(nn.Module, ABC):
    """A network that judges standardised windows ``x`` ``[B, stack, D]``."""

    @abstractmethod
    def loss(self, x: Tensor) -> Tensor:
        """Return what training lowers, per window -> ``[B]``; may draw random numbers."""

    @abstractmethod
    def anomaly(self, x: Tensor) -> Tensor:
        """How unusual each window is -> ``[B]``; nothing random in it."""


class Windows:
    """All windows of some clips; frames lie in memory once, a batch of windows is copied.

    Parameters
    ----------
    clips : sequence of FloatArray
        Frames ``[T_i, D]``. A clip shorter than a window is repeated from its start until it fills one.
    stack, hop : int
        Frames in one window, and between the starts of two.
    """

    def __init__(self, clips: Sequence[FloatArray], stack: int, hop: int) -> None:
        filled = [clip if len(clip) >= stack else clip[np.arange(stack) % len(clip)] for clip in clips]
        ends = np.cumsum([len(clip) for clip in filled])
        spans = [(end - len(clip), end) for clip, end in zip(filled, ends, strict=True)]
        self._frames = np.concatenate(filled)
        self._starts = np.concatenate([np.arange(start, end - stack + 1, hop) for start, end in spans])
        self._within = np.arange(stack)

    def __len__(self) -> int:
        return len(self._starts)

    def gather(self, numbers: NDArray[np.int64]) -> Tensor:
        """Copy some windows -> ``[B, stack, D]``."""
        return torch.from_numpy(self._frames[self._starts[numbers][:, None] + self._within])

    def all(self) -> Tensor:
        """Copy every window, in order."""
        return self.gather(np.arange(len(self)))


def train(network: WindowNetwork, windows: Windows, budget: Budget, seed: int) -> list[float]:
    """Train a network in place; return the mean loss of each epoch.

    Which windows are drawn follows from `seed`; what the network draws itself, from PyTorch's random state.
    """
    random = np.random.default_rng(seed)
    size = min(budget.windows or len(windows), len(windows))
    steps = -(-size // budget.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=budget.learning_rate)
    schedule = _learning_rates(optimizer, budget, steps)
    network.train()
    losses = []
    with step("training batches of a local network", budget.epochs * steps, even=True) as advance:
        for _ in range(budget.epochs):
            # Batches of nearly the same size: a flow's first batch also sets its scales, and one window has no spread.
            batches = np.array_split(random.permutation(len(windows))[:size], steps)
            of_batches = []
            for numbers in batches:
                of_batches.append(_step(network, windows.gather(numbers), optimizer, schedule))
                advance()
            losses.append(float(np.mean(of_batches)))
    network.eval()
    return losses


def _learning_rates(optimizer: torch.optim.Optimizer, budget: Budget, steps: int) -> LRScheduler:
    if not budget.one_cycle:
        return ConstantLR(optimizer, factor=1.0, total_iters=0)
    return OneCycleLR(optimizer, budget.learning_rate, total_steps=budget.epochs * steps)


def _step(network: WindowNetwork, x: Tensor, optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> float:
    optimizer.zero_grad()
    loss = network.loss(x).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimizer.step()
    schedule.step()
    return float(loss.detach())
