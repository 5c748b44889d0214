"""The dense variational network that VAE and VIDNN are made of.

References
----------
D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.local_networks.detector import NetworkSettings


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
