"""``python -m simulations.deployment.superlink``: Flower's SuperLink behind a gate.

Takes the arguments of ``flower-superlink``.
"""

from __future__ import annotations

import sys

from simulations.deployment.environment import settle


def main() -> None:
    """Start the SuperLink with `Gate` before all else that handles its requests."""
    settle()
    from flwr.superlink import extensions
    from flwr.superlink.cli.flower_superlink import flower_superlink
    from starlette.middleware import Middleware

    from simulations.deployment.gate import Gate
    from simulations.logs import show_progress

    show_progress()
    extensions.get_middleware = lambda: (Middleware(Gate),)
    sys.argv[0] = "flower-superlink"
    flower_superlink()


if __name__ == "__main__":
    main()
