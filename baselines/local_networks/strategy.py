"""The server's side of the local networks: nothing is shared, and what they cannot read is refused before any work."""

from __future__ import annotations

from baselines.local.strategy import LocalOnly
from baselines.local_networks.settings import require_log_mel
from collab_asd.config import RunConfig


def local_network(config: RunConfig) -> LocalOnly:
    """Return the strategy of a local network.

    Raises
    ------
    InputError
        The frames are not log-mel frames.
    """
    require_log_mel(config)
    return LocalOnly(config.encoder)
