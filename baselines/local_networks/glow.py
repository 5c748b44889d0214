"""A normalizing flow on log-mel patches: what has a low likelihood is anomalous.

The flow is the library normflows' (V. Stimper et al., Journal of Open Source Software 8(86), 2023). A patch reaches it
in one of two layouts: as an image of one channel, bands by frames, as Glow reads photographs; or with the bands as
channels, as Glow-TTS reads spectrograms, so that each band has a scale of its own and all are mixed at every step.

References
----------
D. P. Kingma and P. Dhariwal, "Glow: Generative flow with invertible 1x1 convolutions", NeurIPS 2018.
K. Dohi, T. Endo, H. Purohit, R. Tanabe and Y. Kawaguchi, "Flow-based self-supervised density estimation for anomalous
sound detection", ICASSP 2021.
J. Kim, S. Kim, J. Kong and S. Yoon, "Glow-TTS: A generative flow for text-to-speech via monotonic alignment search",
NeurIPS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from normflows import MultiscaleFlow
from normflows.distributions import GlowBase
from normflows.flows import GlowBlock, Merge, Squeeze
from torch import Tensor, nn

from baselines.local_networks.detector import Budget, LocalDetector, NetworkSettings, WindowNetwork

Layout = Literal["image", "bands as channels"]


@dataclass(frozen=True)
class GlowSettings(NetworkSettings):
    """Sizes of the flow, and how it is trained.

    Parameters
    ----------
    layout : {"image", "bands as channels"}
    levels : int
        L, of an image: bands and `stack` must be multiples of ``2 ** levels``; after each level but the last, half of
        the numbers go to the Gaussian. With bands as channels there is one.
    blocks : int
        K: steps of flow (affine coupling, 1x1 convolution, actnorm) per level.
    hidden : int
        Channels of the convolutions that shift and scale are computed by.
    """

    layout: Layout
    levels: int
    blocks: int
    hidden: int


class GlowNetwork(WindowNetwork):
    """Flow of patches."""

    def __init__(self, bands: int, settings: GlowSettings) -> None:
        super().__init__()
        self._numbers = bands * settings.stack
        self._channel_axis = 1 if settings.layout == "image" else 2
        self.flow = _image_flow(bands, settings) if settings.layout == "image" else _band_flow(bands, settings)

    def loss(self, x: Tensor) -> Tensor:
        """Negative log-likelihood in nats per number of the window, ``[B, stack, D]`` -> ``[B]``."""
        return -self.log_likelihood(x) / self._numbers

    def anomaly(self, x: Tensor) -> Tensor:
        """Return the same as the loss: nothing is random in it."""
        return self.loss(x)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Log-density of standardised windows in nats, ``[B, stack, D]`` -> ``[B]``."""
        return self.flow.log_prob(self.patches(x), None)  # type: ignore[no-any-return]

    def patches(self, x: Tensor) -> Tensor:
        """Bring windows into the flow's layout: ``[B, 1, D, stack]``, or ``[B, D, 1, stack]``."""
        return x.transpose(1, 2).unsqueeze(self._channel_axis)


def _image_flow(bands: int, settings: GlowSettings) -> MultiscaleFlow:
    """Build the levels from the coarsest, where sampling begins, to the finest; sampling unsqueezes at their ends."""
    bases: list[nn.Module] = []
    levels: list[list[nn.Module]] = []
    for level in range(settings.levels, 0, -1):
        channels = 2 ** (level + 1)
        levels.append([*_blocks(channels, settings), Squeeze()])
        kept = channels if level == settings.levels else channels // 2
        bases.append(GlowBase((kept, bands >> level, settings.stack >> level)))
    merges = [Merge() for _ in range(settings.levels - 1)]
    return MultiscaleFlow(bases, levels, merges, class_cond=False)


def _band_flow(bands: int, settings: GlowSettings) -> MultiscaleFlow:
    base = GlowBase((bands, 1, settings.stack))
    return MultiscaleFlow([base], [_blocks(bands, settings)], [], class_cond=False)


def _blocks(channels: int, settings: GlowSettings) -> list[nn.Module]:
    # Without the LU decomposition, for which normflows calls what PyTorch is about to remove (torch.lu).
    return [GlowBlock(channels, settings.hidden, use_lu=False) for _ in range(settings.blocks)]


class Glow(LocalDetector[GlowSettings]):
    """Normalizing flow of log-mel patches."""

    presets: ClassVar = {
        # K, L and hidden channels are those that Glow's authors gave to images of 32 x 32 (their appendix, CIFAR-10).
        "paper": GlowSettings(32, 8, Budget(100, 64, None, 1e-3), "image", levels=3, blocks=32, hidden=512),
        "fast": GlowSettings(
            8, 4, Budget(16, 64, 2000, 5e-3, one_cycle=True), "bands as channels", levels=1, blocks=4, hidden=64
        ),
    }

    def build(self, bands: int) -> WindowNetwork:
        """Build an untrained network."""
        return GlowNetwork(bands, self.settings)
