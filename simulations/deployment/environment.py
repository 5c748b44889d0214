"""What Flower's programs are told by their environment in a deployment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",  # else every start is reported to Flower's maker
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def settle() -> None:
    """Set what Flower reads from the environment, before any of it is imported."""
    os.environ.update(QUIET, PATH=program_path())


def program_path() -> str:
    """Where programs are looked for: first beside this Python, whether or not its environment is active."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
