"""What the three detectors share: windows of standardised log-mel frames, a network, the mean over a clip's windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from baselines.local_networks.training import Budget, WindowNetwork, Windows, train
from collab_asd.classifier.sampling import input_statistics
from collab_asd.core.types import FloatArray

SCORING_BATCH = 256  # windows


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


class LocalDetector(ABC):
    """A detector that one client trains on one machine's normal clips.

    Parameters
    ----------
    settings : NetworkSettings

    Attributes
    ----------
    losses : list of float
        Mean training loss of each epoch.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self.settings = settings
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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = self.build(len(self._mean))
            self.losses = train(self.network, windows, self.settings.budget, seed)
        return self

    @torch.inference_mode()
    def score(self, frames: FloatArray) -> float:
        """Anomaly score of one clip, frames ``[T, D]`` in dB: the mean over its windows; higher is more anomalous."""
        batches = torch.split(self._windows([frames]).all(), SCORING_BATCH)
        return float(np.mean(torch.cat([self.network.anomaly(x) for x in batches]).double().numpy()))

    def _windows(self, clips: Sequence[FloatArray]) -> Windows:
        standardized = [(clip - self._mean) / self._deviation for clip in clips]
        return Windows(standardized, self.settings.stack, self.settings.hop)
