"""The server's side of the local networks: nothing is shared, and what they cannot read is refused before any work."""

from __future__ import annotations

from baselines.local.strategy import LocalOnly
from collab_asd.config import RunConfig
from collab_asd.errors import InputError

NETWORK_OF = {"local-vae": "vae", "local-vidnn": "vidnn", "local-glow": "glow"}
"""Methods whose clients train a network of their own, and which."""

READS = "logmel"


def local_network(config: RunConfig) -> LocalOnly:
    """Return the strategy of a local network.

    Raises
    ------
    InputError
        The frames are not log-mel frames.
    """
    if config.encoder != READS:
        raise InputError(
            f"method {config.method!r} reads log-mel frames, not those of encoder {config.encoder!r}: "
            f"add --encoder {READS} (for flwr run: encoder='{READS}'); they do not leave the client"
        )
    return LocalOnly(config.encoder)
