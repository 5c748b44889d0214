"""A variational interpolation network: the middle frame of a window is predicted from its neighbours.

Edge frames are hard to predict whether a machine is sound or not, so an autoencoder's errors on them say little; the
middle frame's do. What cannot be interpolated is anomalous.

References
----------
K. Suefusa, T. Nishida, H. Purohit, R. Tanabe, T. Endo and Y. Kawaguchi, "Anomalous sound detection based on
interpolation deep neural network", ICASSP 2020, pp. 271-275.
"""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.local_networks.detector import LocalDetector
from baselines.local_networks.training import Budget, WindowNetwork
from baselines.local_networks.variational import DenseVariational, VariationalSettings
from collab_asd.config import Preset

PRESETS: dict[Preset, VariationalSettings] = {
    "paper": VariationalSettings(5, 1, Budget(100, 512, None, 1e-3), (64, 32), 16),
    "fast": VariationalSettings(5, 1, Budget(20, 128, 8000, 2e-3, one_cycle=True), (64, 32), 16),
}


class VidnnNetwork(WindowNetwork):
    """From all frames of a window but the middle one to the middle one."""

    def __init__(self, bands: int, settings: VariationalSettings) -> None:
        super().__init__()
        self._middle = settings.stack // 2
        self.variational = DenseVariational((settings.stack - 1) * bands, bands, settings.hidden, settings.latent)

    def loss(self, x: Tensor) -> Tensor:
        """Negative evidence lower bound of the middle frame -> ``[B]``."""
        return self.variational.negative_elbo(self._neighbours(x), x[:, self._middle])

    def predict(self, x: Tensor) -> Tensor:
        """Predict the middle frame, ``[B, stack, D]`` -> ``[B, D]``."""
        return self.variational.predict(self._neighbours(x))

    def anomaly(self, x: Tensor) -> Tensor:
        """Mean squared interpolation error -> ``[B]``."""
        return (self.predict(x) - x[:, self._middle]).square().mean(dim=1)

    def _neighbours(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, : self._middle], x[:, self._middle + 1 :]], dim=1).flatten(1)


class Vidnn(LocalDetector):
    """Variational interpolation network."""

    def __init__(self, settings: VariationalSettings = PRESETS["fast"]) -> None:
        super().__init__(settings)
        self._sizes = settings

    def build(self, bands: int) -> WindowNetwork:
        """Build an untrained network."""
        return VidnnNetwork(bands, self._sizes)
