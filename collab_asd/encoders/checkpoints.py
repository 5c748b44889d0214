"""Read weights from PyTorch checkpoints (``.pth``, ``.pt``) and Keras 2 files (``.h5``, ``.h5.gz``), and nothing else.

A PyTorch checkpoint is a pickle, which can run any code while it is loaded. PyTorch's restricted unpickler builds
tensors and plain containers alone. Training code also leaves NumPy arrays and numbers beside the model, such as the
state of a sampler; what rebuilds them is let in too, for it runs no code. A checkpoint may lie in a wheel, of which
nothing else is read.

The layout of a Keras 2 file is that of ``Model.save_weights``: the root attribute ``layer_names`` lists the layers in
the order of the model, each layer is a group whose attribute ``weight_names`` lists its arrays. Keras itself loads by
the *order* of the layers that have weights, because their automatic names differ between versions; so does this reader,
with the shapes as the check that a file holds the model that is asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, TypeAlias, cast
from zipfile import ZipFile

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.serialization import safe_globals

from collab_asd.core.errors import InputError
from collab_asd.core.terminal import shortened
from collab_asd.core.types import FloatArray

Tensors: TypeAlias = dict[str, Tensor]
TensorShapes: TypeAlias = dict[str, tuple[int, ...]]

ZIP, PICKLE = b"PK\x03\x04", b"\x80\x02"  # how checkpoints begin since PyTorch 1.6, and before

_scalar = cast("Callable[..., Any]", np.int64(0).__reduce__()[0])
_reconstruct = cast("Callable[..., Any]", np.empty(0).__reduce__()[0])  # private, and NumPy 2 moved it
NUMPY_ARRAYS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    (_scalar, "numpy._core.multiarray.scalar"),
    (_scalar, "numpy.core.multiarray.scalar"),
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"},
]
LARGEST_MEMBER = 2**30  # bytes of a checkpoint, unpacked
ONE_AT_A_TIME = Lock()  # what may be built is a setting of the whole process
NORM = ("weight", "bias", "running_mean", "running_var")


def read_tensors(path: Path, member: str = "") -> Tensors:
    """Read the weights of a model: a mapping of names to tensors, or the one that a training state calls ``model``.

    Parameters
    ----------
    path : Path
        Of the checkpoint, or of a wheel that holds it as `member`.
    member : str
        Name in the wheel. Of a tuple the first element is taken: what stands beside the weights is of no use here.

    Raises
    ------
    InputError
        When the file is missing, is no checkpoint, is truncated, or holds objects that are neither tensors, NumPy
        arrays nor plain containers: they are never built.
    """
    content = _load(path, member)
    if member and isinstance(content, tuple) and content:
        content = content[0]
    state = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path}: expected a checkpoint with a mapping of names to tensors, found something else "
            f"({type(state).__name__}); give the original file with --weights"
        )
    return dict(state)


def require_tensors(path: Path, model: str, tensors: Tensors, expected: TensorShapes, ignored: TensorShapes) -> Tensors:
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


def _load(path: Path, member: str) -> Any:
    start = _start(path)
    try:
        if member and start == ZIP:
            with ZipFile(path) as archive:
                if member in archive.namelist():
                    return _load_member(archive, member)
        # Mapped, the tensors of a zip are pages of the file and not a second copy of what is folded out of them.
        with ONE_AT_A_TIME, safe_globals(NUMPY_ARRAYS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=start == ZIP)
    except Exception as error:  # a damaged pickle or archive fails in any way
        raise InputError(_refusal(path, error)) from error


def _load_member(archive: ZipFile, member: str) -> Any:
    if (size := archive.getinfo(member).file_size) > LARGEST_MEMBER:
        raise ValueError(f"{member} claims {size} bytes")
    with ONE_AT_A_TIME, safe_globals(NUMPY_ARRAYS):
        return torch.load(io.BytesIO(archive.read(member)), map_location="cpu", weights_only=True)


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
        f"{path}: expected a PyTorch checkpoint, found {_describe_start(start)} ({path.stat().st_size} bytes); "
        "delete it and download it again"
    )


def _describe_start(start: bytes) -> str:
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


GZIP = b"\x1f\x8b"  # how a packed file begins
MOST_BYTES = 2**30  # of an array, or of what a packed file holds
MOST_NAMES = 10_000

LayerShapes: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class KerasLayer:
    """One layer that has weights: its name in the file and its arrays in Keras' order."""

    name: str
    weights: tuple[FloatArray, ...]

    @property
    def shapes(self) -> LayerShapes:
        """Shapes of the arrays."""
        return tuple(array.shape for array in self.weights)


def read_layers(path: Path) -> list[KerasLayer]:
    """Read the layers that have weights, in the order of the model.

    Raises
    ------
    InputError
        When the file is not HDF5, is truncated, or is not a Keras 2 weights file.
    """
    try:
        with h5py.File(_content(path), "r") as file:
            root = _weights_root(file, path)
            layers, left = [], MOST_BYTES
            for name in _names(root.attrs["layer_names"]):
                layers.append(_read_layer(root, name))
                left -= sum(array.nbytes for array in layers[-1].weights)
                if left < 0:
                    raise ValueError("its arrays are larger than those of any weights")
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of weights with --weights") from error
    except InputError:
        raise
    except Exception as error:  # a damaged file, or one that was made to, fails in any way
        raise InputError(
            f"{path}: expected a whole Keras 2 weights file (HDF5), found {_describe_file(path)} ({shortened(error)}); "
            "delete it and download it again"
        ) from error
    return [layer for layer in layers if layer.weights]


def require_shapes(path: Path, model: str, layers: Sequence[KerasLayer], expected: Sequence[LayerShapes]) -> None:
    """Check that the layers of a file are those of a model.

    Parameters
    ----------
    path, model
        Only named in the message.
    layers
        What the file holds.
    expected
        Per layer, the shapes of its arrays.

    Raises
    ------
    InputError
        When the number of layers or a shape differs: the checkpoint is of another model.
    """
    what_to_do = f"this is a checkpoint of another model, give the one of {model} with --weights"
    if len(layers) != len(expected):
        counts = f"expected {len(expected)} layers with weights of {model}, found {len(layers)}"
        raise InputError(f"{path}: {counts}; {what_to_do}")
    for layer, shapes in zip(layers, expected, strict=True):
        if layer.shapes != shapes:
            raise InputError(
                f"{path}: expected arrays of shapes {list(shapes)} in layer {layer.name!r} for {model}, "
                f"found {list(layer.shapes)}; {what_to_do}"
            )


def _content(path: Path) -> Path | BinaryIO:
    """Return what HDF5 is to open: the file, or what it unpacks to where it begins as gzip does."""
    with path.open("rb") as file:
        if file.read(len(GZIP)) != GZIP:
            return path
    with gzip.open(path) as packed:
        content = packed.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: unpacks to more than {MOST_BYTES / 1e9:.1f} GB, as no weights do; delete it")
    return io.BytesIO(content)


def _weights_root(file: h5py.File, path: Path) -> Any:
    """Return the group with the layers: the root, or ``model_weights`` in a file that holds a whole model."""
    root = file if "layer_names" in file.attrs else _member(file, "model_weights", h5py.Group)
    if root is None or "layer_names" not in root.attrs:
        raise InputError(
            f"{path}: expected a Keras 2 weights file, found HDF5 without the attribute 'layer_names' "
            "(a Keras 3 '.weights.h5' file, or not a model); give the original file with --weights"
        )
    return root


def _read_layer(root: Any, name: str) -> KerasLayer:
    group = _member(root, name, h5py.Group)
    if group is None:
        raise KeyError(f"layer {name!r} is missing")
    return KerasLayer(name, tuple(_read_array(group, weight) for weight in _names(group.attrs["weight_names"])))


def _read_array(group: Any, name: str) -> FloatArray:
    """Read an array that lies in the file itself and is of a size that weights have."""
    array = _member(group, name, h5py.Dataset)
    if array is None:
        raise KeyError(f"array {name!r} is missing")
    if array.is_virtual or array.external:
        raise ValueError(f"array {name!r} lies in another file")
    if array.dtype.kind not in "fiu" or array.size * max(4, array.dtype.itemsize) > MOST_BYTES:
        raise ValueError(f"array {name!r} is no array of weights: {array.dtype} {array.shape}")
    return np.asarray(array, dtype=np.float32)


def _member(group: Any, path: str, kind: type) -> Any:
    """Return what a group holds under a path, or None; links to other places and files are not followed."""
    for name in filter(None, path.split("/")):
        if not isinstance(group, h5py.Group) or name not in group:
            return None
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name!r} is a link")
        group = group[name]
    if not isinstance(group, kind):
        raise ValueError(f"{path!r} is something else than expected")
    return group


def _names(attribute: Any) -> list[str]:
    """Decode names, which are bytes in files of older Keras and text in newer ones."""
    names = np.asarray(attribute)
    if names.ndim == 1 and not len(names):
        return []
    if names.ndim != 1 or names.dtype.kind not in "SUO" or len(names) > MOST_NAMES:
        raise ValueError("an attribute that should list names does not")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names.tolist()]


def _describe_file(path: Path) -> str:
    """Say what a file that HDF5 refuses looks like."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    size = path.stat().st_size
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"a web page of {size} bytes (a proxy's login page?)"
    return f"something else or a truncated file of {size} bytes"
