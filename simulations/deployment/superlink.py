"""``python -m simulations.deployment.superlink``: Flower's SuperLink behind a gate.

Takes the arguments of ``flower-superlink``, and ``--largest-reply-megabytes``.
"""

from __future__ import annotations

import argparse
import sys

from simulations.deployment.environment import settle


def main() -> None:
    """Start the SuperLink with `Gate` before all else that handles its requests."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--largest-reply-megabytes", type=int, default=256)
    ours, flowers = parser.parse_known_args()
    settle()
    from flwr.superlink import extensions
    from flwr.superlink.cli.flower_superlink import flower_superlink
    from starlette.middleware import Middleware

    from simulations.deployment.gate import Gate
    from simulations.logs import show_progress

    show_progress()
    extensions.get_middleware = lambda: (Middleware(Gate, largest_reply=ours.largest_reply_megabytes * 2**20),)
    sys.argv = ["flower-superlink", *flowers]
    flower_superlink()


if __name__ == "__main__":
    main()
