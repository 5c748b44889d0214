"""Pseudo-weights in the official layouts, for whichever encoder is compared with its original."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def make_checkpoints(shared: Path) -> ModuleType:
    """The script that writes them, imported from beside the reference outputs."""
    folder = shared / "golden"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "dont_write_bytecode", True)
        spec = importlib.util.spec_from_file_location("make_checkpoints", folder / "make_checkpoints.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_h5(shared: Path, make_checkpoints: ModuleType) -> Callable[[str, Path], Path]:
    """Write pseudo-weights for the tensors of a description such as ``yamnet.json`` to a path."""

    def write(description: str, path: Path) -> Path:
        make_checkpoints.write_h5(json.loads((shared / "golden" / description).read_text()), str(path))
        return path

    return write
