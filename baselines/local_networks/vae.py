"""A variational autoencoder on stacked log-mel frames: what it cannot reconstruct is anomalous.

Layers, window, optimiser and budget of ``PRESETS["paper"]`` are those of the DCASE 2020 baseline, a dense autoencoder,
made variational; so is its score, the mean squared reconstruction error.

References
----------
Y. Koizumi et al., "Description and discussion on DCASE2020 Challenge Task2", DCASE Workshop 2020, section 4.
D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014.
"""

from __future__ import annotations

from torch import Tensor

from baselines.local_networks.detector import LocalDetector
from baselines.local_networks.training import Budget, WindowNetwork
from baselines.local_networks.variational import DenseVariational, VariationalSettings
from collab_asd.config import Preset

PRESETS: dict[Preset, VariationalSettings] = {
    "paper": VariationalSettings(5, 1, Budget(100, 512, None, 1e-3), (128,) * 4, 8),
    "fast": VariationalSettings(5, 1, Budget(5, 128, 8000, 2e-3, one_cycle=True), (128,) * 4, 8),
}


class VaeNetwork(WindowNetwork):
    """Encoder and decoder of whole windows."""

    def __init__(self, bands: int, settings: VariationalSettings) -> None:
        super().__init__()
        size = settings.stack * bands
        self.variational = DenseVariational(size, size, settings.hidden, settings.latent)

    def loss(self, x: Tensor) -> Tensor:
        """Negative evidence lower bound -> ``[B]``."""
        flat = x.flatten(1)
        return self.variational.negative_elbo(flat, flat)

    def anomaly(self, x: Tensor) -> Tensor:
        """Mean squared reconstruction error -> ``[B]``."""
        flat = x.flatten(1)
        return (self.variational.predict(flat) - flat).square().mean(dim=1)


class Vae(LocalDetector):
    """Variational autoencoder of windows of a few frames."""

    def __init__(self, settings: VariationalSettings = PRESETS["fast"]) -> None:
        super().__init__(settings)
        self._sizes = settings

    def build(self, bands: int) -> WindowNetwork:
        """Build an untrained network."""
        return VaeNetwork(bands, self._sizes)
