"""Which local networks there are, and what they read: apart from what takes long to import."""

from __future__ import annotations

from collab_asd.config import RunConfig
from collab_asd.errors import InputError

NETWORK_OF = {"local-vae": "vae", "local-vidnn": "vidnn", "local-glow": "glow"}
"""Methods whose clients train a network of their own, and which."""

READS = "logmel"


def require_log_mel(config: RunConfig) -> None:
    """Refuse frames that a local network cannot read.

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
