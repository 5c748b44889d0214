"""A network in two parts: what split learning leaves at the client, and the rest."""

from __future__ import annotations

from torch import Tensor, nn


class TwoStages(nn.Module):
    """Window ``[B, 1, stack, D]`` -> ``first`` -> activations -> ``rest`` -> embedding ``[B, 128]``.

    Only split learning cares where the cut is; everywhere else this is one network.

    Parameters
    ----------
    first, rest : nn.Module
    """

    def __init__(self, first: nn.Module, rest: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = first, rest

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows ``[B, 1, stack, D]`` -> ``[B, 128]``."""
        return self.rest(self.first(windows))  # type: ignore[no-any-return]
