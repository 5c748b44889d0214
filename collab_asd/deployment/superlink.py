"""``python -m collab_asd.deployment.superlink``: Flower's SuperLink behind a gate.

Takes the arguments of ``flower-superlink``, and ``--largest-reply-megabytes``.
"""

from __future__ import annotations

import argparse
import logging
import ssl
import sys
from typing import Any

from collab_asd.deployment.processes import settle

logger = logging.getLogger("collab_asd.deployment.superlink")  # this module's own name is __main__


class NotedHandshake(ssl.SSLObject):
    """A connection whose failure to begin is written down: the SuperLink itself says nothing of it."""

    def do_handshake(self) -> None:
        """See `ssl.SSLObject`."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise  # more of it has to come
        except ssl.SSLError as error:
            logger.warning("refused: a connection that is not TLS, or whose end does not trust this server: %s", error)
            raise


def main() -> None:
    """Start the SuperLink with `Gate` before all that listens in this process."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--largest-reply-megabytes", type=int, default=256)
    ours, flowers = parser.parse_known_args()
    settle()
    from collab_asd.core.progress import show_progress
    from collab_asd.federation import flwr_compat

    show_progress()
    guard(ours.largest_reply_megabytes * 2**20)
    sys.argv = ["flower-superlink", *flowers]
    flwr_compat.flower_superlink()


def guard(largest_reply: int) -> None:
    """Let no server of this process answer a request that has not passed the gate, however Flower starts it."""
    import uvicorn

    from collab_asd.deployment.gate import Gate

    settings: Any = uvicorn.Config
    load = settings.load

    def load_gated(config: Any) -> None:
        load(config)
        config.loaded_app = Gate(config.loaded_app, largest_reply=largest_reply)

    settings.load = load_gated
    ssl.SSLContext.sslobject_class = NotedHandshake


if __name__ == "__main__":
    main()
