"""Pseudo-weights in the official layouts, for whichever encoder is compared with its original."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from collab_asd.encoders.panns import Panns


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


@pytest.fixture(scope="session")
def panns_golden(shared: Path) -> Iterator[np.lib.npyio.NpzFile]:
    with np.load(shared / "golden" / "panns.npz") as arrays:
        yield arrays


@pytest.fixture(scope="session")
def write_panns(shared: Path, make_checkpoints: ModuleType) -> Callable[[Path], None]:
    """Write the pseudo-weights into a file, for a name that ends in .legacy.pth with the state of a sampler."""

    def write(path: Path) -> None:
        description = shared / "golden" / "panns_wavegram_logmel_cnn14.json"
        make_checkpoints.write_pth(json.loads(description.read_text()), str(path))

    return write


@pytest.fixture(scope="session")
def panns_checkpoint(write_panns: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("panns") / "panns.pth"
    write_panns(path)
    yield path
    path.unlink()  # 325 MB


@pytest.fixture(scope="module")
def panns(panns_checkpoint: Path) -> Panns:
    return Panns(panns_checkpoint)


@pytest.fixture(scope="session")
def panns_clip(panns_golden) -> np.ndarray:
    """Ten seconds at 32 kHz."""
    return panns_golden["wave10s_int16"].astype(np.float32) / 32768
