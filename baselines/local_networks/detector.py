"""What the three detectors share: windows of standardised log-mel frames, a network and its training, a score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from collab_asd.classifier.sampling import input_statistics
from collab_asd.config import Preset
from collab_asd.core.progress import step
from collab_asd.core.types import FloatArray

SCORING_BATCH = 256  # windows
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


@dataclass(frozen=True)
class NetworkSettings:
    """How frames become windows, and how a network is trained.

    Parameters
    ----------
    stack, hop : int
        Frames in one window, and between the starts of two.
    budget : Budget
    """

    stack: int
    hop: int
    budget: Budget

    def lasting(self, epochs: int) -> Self:
        """Return the same with another number of epochs; 0 leaves it as it is."""
        return replace(self, budget=replace(self.budget, epochs=epochs or self.budget.epochs))


Settings = TypeVar("Settings", bound=NetworkSettings)


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
        """Copy some windows -> ``[B, stack, D]``, on the CPU."""
        return torch.from_numpy(self._frames[self._starts[numbers][:, None] + self._within])

    def all(self) -> Tensor:
        """Copy every window, in order."""
        return self.gather(np.arange(len(self)))


def train(network: WindowNetwork, windows: Windows, budget: Budget, seed: int) -> list[float]:
    """Train a network in place; return the mean loss of each epoch.

    Which windows are drawn follows from `seed`; what the network draws itself, from PyTorch's random state.
    """
    random, device = np.random.default_rng(seed), next(network.parameters()).device
    size = min(budget.windows or len(windows), len(windows))
    steps = -(-size // budget.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=budget.learning_rate)
    schedule = None
    if budget.one_cycle:
        schedule = OneCycleLR(optimizer, budget.learning_rate, total_steps=budget.epochs * steps)
    network.train()
    losses = []
    with step("training batches of a local network", budget.epochs * steps, even=True) as advance:
        for _ in range(budget.epochs):
            # Batches of nearly the same size: a flow's first batch also sets its scales, and one window has no spread.
            batches = np.array_split(random.permutation(len(windows))[:size], steps)
            of_batches = []
            for numbers in batches:
                optimizer.zero_grad()
                loss = network.loss(windows.gather(numbers).to(device)).mean()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                of_batches.append(float(loss.detach()))
                advance()
            losses.append(float(np.mean(of_batches)))
    network.eval()
    return losses


class LocalDetector(ABC, Generic[Settings]):
    """A detector that one client trains on one machine's normal clips.

    Parameters
    ----------
    settings : NetworkSettings
        Such as one of its `presets`.
    device : str
        What the network runs on.

    Attributes
    ----------
    losses : list of float
        Mean training loss of each epoch.
    """

    presets: ClassVar[Mapping[Preset, NetworkSettings]]

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        self.settings, self.device = settings, device
        self.losses: list[float] = []

    @abstractmethod
    def build(self, bands: int) -> WindowNetwork:
        """Build an untrained network for frames of so many dimensions, from PyTorch's random state."""

    def fit(self, clips: Sequence[FloatArray], seed: int) -> Self:
        """Learn what is normal from frames ``[T_i, D]`` of normal clips, in dB.

        The same clips, seed and thread count give the same scores, whatever ran before; the caller's random state is
        left as it was.

        Raises
        ------
        InputError
            A clip has frames that are NaN or infinite.
        """
        self._mean, self._deviation = input_statistics(clips, [0] * len(clips))
        windows = self._windows(clips)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = self.build(len(self._mean)).to(self.device)
            self.losses = train(self.network, windows, self.settings.budget, seed)
        return self

    @torch.inference_mode()
    def score(self, frames: FloatArray) -> float:
        """Anomaly score of one clip, frames ``[T, D]`` in dB: the mean over its windows; higher is more anomalous."""
        batches = torch.split(self._windows([frames]).all(), SCORING_BATCH)
        return float(
            np.mean(torch.cat([self.network.anomaly(x.to(self.device)).cpu() for x in batches]).double().numpy())
        )

    def _windows(self, clips: Sequence[FloatArray]) -> Windows:
        standardized = [(clip - self._mean) / self._deviation for clip in clips]
        return Windows(standardized, self.settings.stack, self.settings.hop)
