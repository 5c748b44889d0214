"""Collaborative anomalous sound detection: the public API. Each name loads what it needs when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collab_asd.api import (
        AnomalyDetector,
        CollaborativeModel,
        Machine,
        build_encoder,
        embed,
        evaluate,
        load_detector,
        load_recordings,
    )
    from collab_asd.core.errors import InputError
    from collab_asd.core.types import Clip

_HOME = {
    **dict.fromkeys(
        (
            *("AnomalyDetector", "CollaborativeModel", "Machine", "build_encoder"),
            *("embed", "evaluate", "load_detector", "load_recordings"),
        ),
        "collab_asd.api",
    ),
    "Clip": "collab_asd.core.types",
    "InputError": "collab_asd.core.errors",
}
__version__ = "0.1.0"
"""That of ``pyproject.toml``: Flower runs the app from a bundle, whose metadata no installation knows."""
__all__ = [
    "AnomalyDetector",
    "Clip",
    "CollaborativeModel",
    "InputError",
    "Machine",
    "__version__",
    "build_encoder",
    "embed",
    "evaluate",
    "load_detector",
    "load_recordings",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
