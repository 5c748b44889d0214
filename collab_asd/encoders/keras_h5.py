"""Read a Keras 2 weights file (``.h5``, or packed ``.h5.gz``) without Keras.

The layout is that of ``Model.save_weights``: the root attribute ``layer_names`` lists the layers in the order of the
model, each layer is a group whose attribute ``weight_names`` lists its arrays. Keras itself loads by the *order* of the
layers that have weights, because their automatic names differ between versions; so does this reader, with the shapes as
the check that a file holds the model that is asked for.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import h5py
import numpy as np

from collab_asd.errors import InputError
from collab_asd.interfaces import FloatArray

GZIP = b"\x1f\x8b"  # how a packed file begins

Shapes: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class KerasLayer:
    """One layer that has weights: its name in the file and its arrays in Keras' order."""

    name: str
    weights: tuple[FloatArray, ...]

    @property
    def shapes(self) -> Shapes:
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
            layers = [_read_layer(root, name) for name in _names(root.attrs["layer_names"])]
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of weights with --weights") from error
    except (OSError, EOFError, zlib.error, KeyError) as error:
        raise InputError(
            f"{path}: expected a whole Keras 2 weights file (HDF5), found {_describe(path)} ({error}); "
            "delete it and download it again"
        ) from error
    return [layer for layer in layers if layer.weights]


def require_shapes(path: Path, model: str, layers: Sequence[KerasLayer], expected: Sequence[Shapes]) -> None:
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
        return io.BytesIO(packed.read())


def _weights_root(file: h5py.File, path: Path) -> Any:
    """Return the group with the layers: the root, or ``model_weights`` in a file that holds a whole model."""
    root = file if "layer_names" in file.attrs else file.get("model_weights")
    if root is None or "layer_names" not in root.attrs:
        raise InputError(
            f"{path}: expected a Keras 2 weights file, found HDF5 without the attribute 'layer_names' "
            "(a Keras 3 '.weights.h5' file, or not a model); give the original file with --weights"
        )
    return root


def _read_layer(root: Any, name: str) -> KerasLayer:
    group = root[name]
    arrays = (np.asarray(group[weight], dtype=np.float32) for weight in _names(group.attrs["weight_names"]))
    return KerasLayer(name, tuple(arrays))


def _names(attribute: Any) -> list[str]:
    """Decode names, which are bytes in files of older Keras and text in newer ones."""
    return [name.decode() if isinstance(name, bytes) else str(name) for name in attribute]


def _describe(path: Path) -> str:
    """Say what a file that HDF5 refuses looks like."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    size = path.stat().st_size
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"a web page of {size} bytes (a proxy's login page?)"
    return f"something else or a truncated file of {size} bytes"
