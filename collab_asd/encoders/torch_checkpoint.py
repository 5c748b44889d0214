"""Read tensors from a PyTorch checkpoint (``.pth``, ``.pt``), and nothing else.

A checkpoint is a pickle, which can run any code while it is loaded. PyTorch's restricted unpickler builds tensors and
plain containers alone. Training code also leaves NumPy arrays beside the model, such as the state of a sampler; what
rebuilds an array is let in too, for it runs no code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.serialization import safe_globals

from collab_asd.errors import InputError
from collab_asd.interfaces import FloatArray

Tensors: TypeAlias = dict[str, Tensor]
Shapes: TypeAlias = dict[str, tuple[int, ...]]

ZIP, PICKLE = b"PK\x03\x04", b"\x80\x02"  # how checkpoints begin since PyTorch 1.6, and before

_reconstruct = cast("Callable[..., Any]", np.empty(0).__reduce__()[0])  # private, and NumPy 2 moved it
NUMPY_ARRAYS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"},
]
ONE_AT_A_TIME = Lock()  # what may be built is a setting of the whole process
NORM = ("weight", "bias", "running_mean", "running_var")


def read_tensors(path: Path) -> Tensors:
    """Read the weights of a model: a mapping of names to tensors, or the one that a training state calls ``model``.

    Raises
    ------
    InputError
        When the file is missing, is no checkpoint, is truncated, or holds objects that are neither tensors, NumPy
        arrays nor plain containers: they are never built.
    """
    content = _load(path)
    state = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path}: expected a checkpoint with a mapping of names to tensors, found something else "
            f"({type(state).__name__}); give the original file with --weights"
        )
    return dict(state)


def require_tensors(path: Path, model: str, tensors: Tensors, expected: Shapes, ignored: Shapes) -> Tensors:
    """Return the tensors that a model needs, in the order of `expected`, after checking that they are the model's.

    Parameters
    ----------
    path, model
        Only named in the message.
    tensors
        What the file holds.
    expected
        Shapes that must be there.
    ignored
        Shapes that may be there too, such as those of a classifier.

    Raises
    ------
    InputError
        When a tensor is missing, unknown or of another shape: the checkpoint is of another model.
    """
    what_to_do = f"this is a checkpoint of another model, give the one of {model} with --weights"
    found = {name: tuple(t.shape) for name, t in tensors.items() if not name.endswith(".num_batches_tracked")}
    for name, shape in expected.items():
        if found.get(name) != shape:
            other = f"one of {list(found[name])}" if name in found else f"no such name among {len(found)}"
            raise InputError(
                f"{path}: expected a tensor {name!r} of shape {list(shape)} for {model}, found {other}; {what_to_do}"
            )
    for name, shape in found.items():
        if name not in expected and ignored.get(name) != shape:
            raise InputError(
                f"{path}: expected {len(expected)} tensors of {model}, found also {name!r} of shape {list(shape)}; "
                f"{what_to_do}"
            )
    return {name: tensors[name].float() for name in expected}


def fold(tensors: Tensors, convolution: str, norm: str, epsilon: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution without bias and the batch norm behind it, both by name."""
    scale, shift = norm_affine(tensors, norm, epsilon)
    kernel = tensors[f"{convolution}.weight"]
    return kernel * scale.reshape(-1, *(1,) * (kernel.ndim - 1)), shift


def norm_affine(tensors: Tensors, norm: str, epsilon: float) -> tuple[Tensor, Tensor]:
    """Scale and shift per channel that a batch norm amounts to."""
    gain, offset, mean, variance = (tensors[f"{norm}.{part}"].double() for part in NORM)
    scale = gain / torch.sqrt(variance + epsilon)
    return scale.float(), (offset - mean * scale).float()


def tensors_digest(architecture: str, tensors: Tensors) -> str:
    """SHA-256 (hex) over an architecture's name and its tensors."""
    digest = hashlib.sha256(architecture.encode())
    for name, tensor in tensors.items():
        array: FloatArray = np.ascontiguousarray(tensor.numpy(), dtype="<f4")
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.data if array.ndim else array.tobytes())
    return digest.hexdigest()


def _load(path: Path) -> Any:
    start = _start(path)
    try:
        # Mapped, the tensors of a zip are pages of the file and not a second copy of what is folded out of them.
        with ONE_AT_A_TIME, safe_globals(NUMPY_ARRAYS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=start == ZIP)
    except Exception as error:  # a damaged pickle or archive fails in any way
        raise InputError(_refusal(path, error)) from error


def _start(path: Path) -> bytes:
    """Return how the checkpoint begins, `ZIP` or `PICKLE`."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of weights with --weights") from error
    for known in (ZIP, PICKLE):
        if start.startswith(known):
            return known
    raise InputError(
        f"{path}: expected a PyTorch checkpoint, found {_describe(start)} ({path.stat().st_size} bytes); delete it and "
        "download it again"
    )


def _describe(start: bytes) -> str:
    """Say what a file that is no checkpoint looks like."""
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page (a proxy's login page?)"
    return f"a file that begins with {start[:16]!r}"


def _refusal(path: Path, error: Exception) -> str:
    if forbidden := re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", str(error)):
        return (
            f"{path}: expected a checkpoint of tensors, found one that wants to run {forbidden[1]}, which was not run; "
            "do not use it, download the original file"
        )
    return (
        f"{path}: expected a whole PyTorch checkpoint of tensors, found a damaged or truncated one of "
        f"{path.stat().st_size} bytes ({type(error).__name__}); delete it and download it again"
    )
