"""Two detectors made of one dense variational network: an autoencoder, and an interpolation network.

VAE: a variational autoencoder on stacked log-mel frames; what it cannot reconstruct is anomalous. Layers, window,
optimiser and budget of its preset ``paper`` are those of the DCASE 2020 baseline, a dense autoencoder, made
variational; so is its score, the mean squared reconstruction error.

VIDNN: the middle frame of a window is predicted from its neighbours. Edge frames are hard to predict whether a machine
is sound or not, so an autoencoder's errors on them say little; the middle frame's do. What cannot be interpolated is
anomalous.

References
----------
D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014.
Y. Koizumi et al., "Description and discussion on DCASE2020 Challenge Task2", DCASE Workshop 2020, section 4.
K. Suefusa, T. Nishida, H. Purohit, R. Tanabe, T. Endo and Y. Kawaguchi, "Anomalous sound detection based on
interpolation deep neural network", ICASSP 2020, pp. 271-275.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from baselines.local_networks.detector import Budget, LocalDetector, NetworkSettings, WindowNetwork


@dataclass(frozen=True)
class VariationalSettings(NetworkSettings):
    """Sizes of a variational network, and how it is trained.

    Parameters
    ----------
    hidden : tuple of int
        Units of the encoder's layers; the decoder has them in reverse.
    latent : int
        z, latent numbers per window.
    """

    hidden: tuple[int, ...]
    latent: int


def kl_from_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, summed over dimensions, ``[B, z]`` -> ``[B]``.

    Equation of Kingma and Welling, appendix B: ``-1/2 sum(1 + log s^2 - m^2 - s^2)``.

    Examples
    --------
    >>> kl_from_standard_normal(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)).item()
    12.5
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


class DenseVariational(nn.Module):
    """Encoder to a Gaussian over ``z`` numbers, decoder to the mean of a Gaussian of variance 1 over the output.

    Parameters
    ----------
    inputs, outputs : int
    hidden : sequence of int
        Units of the encoder's layers; the decoder has them in reverse.
    latent : int
        z.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], latent: int) -> None:
        super().__init__()
        self.encoder = _dense([inputs, *hidden])
        self.to_mean = nn.Linear(hidden[-1], latent)
        self.to_log_variance = nn.Linear(hidden[-1], latent)
        self.decoder = nn.Sequential(_dense([latent, *reversed(hidden)]), nn.Linear(hidden[0], outputs))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent numbers, ``[B, inputs]`` -> ``[B, z]`` each."""
        h = self.encoder(x)
        return self.to_mean(h), self.to_log_variance(h)

    def negative_elbo(self, x: Tensor, target: Tensor) -> Tensor:
        """Return the loss per window with one draw of the latent numbers, without constants, in nats -> ``[B]``."""
        mean, log_variance = self.encode(x)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error: Tensor = 0.5 * (self.decoder(z) - target).square().sum(dim=1)
        return error + kl_from_standard_normal(mean, log_variance)

    def predict(self, x: Tensor) -> Tensor:
        """Output at the mean of the latent numbers, ``[B, inputs]`` -> ``[B, outputs]``."""
        mean, _ = self.encode(x)
        return self.decoder(mean)  # type: ignore[no-any-return]


def _dense(sizes: Sequence[int]) -> nn.Sequential:
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(sizes)]
    return nn.Sequential(*layers)


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


class Vae(LocalDetector[VariationalSettings]):
    """Variational autoencoder of windows of a few frames."""

    presets: ClassVar = {
        "paper": VariationalSettings(5, 1, Budget(100, 512, None, 1e-3), (128,) * 4, 8),
        "fast": VariationalSettings(5, 1, Budget(5, 128, 8000, 2e-3, one_cycle=True), (128,) * 4, 8),
    }

    def build(self, bands: int) -> WindowNetwork:
        """Build an untrained network."""
        return VaeNetwork(bands, self.settings)


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


class Vidnn(LocalDetector[VariationalSettings]):
    """Variational interpolation network."""

    presets: ClassVar = {
        "paper": VariationalSettings(5, 1, Budget(100, 512, None, 1e-3), (64, 32), 16),
        "fast": VariationalSettings(5, 1, Budget(20, 128, 8000, 2e-3, one_cycle=True), (64, 32), 16),
    }

    def build(self, bands: int) -> WindowNetwork:
        """Build an untrained network."""
        return VidnnNetwork(bands, self.settings)
