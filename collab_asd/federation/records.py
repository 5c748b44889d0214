"""Arrays in and out of messages."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.common.serde import recorddict_to_proto
from numpy.lib import format as npy
from numpy.typing import NDArray


def to_record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Put named arrays into a record; each is copied into immutable bytes."""
    return ArrayRecord({name: Array(np.asarray(array, order="C")) for name, array in arrays.items()})


def from_record(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """Read the arrays of a record as read-only views of the message's bytes, without copying them."""
    return {name: _view(array) for name, array in record.items()}


def content_bytes(content: RecordDict) -> int:
    """Size of a message's content on the wire, but for a few bytes of length prefixes.

    Arrays are counted apart from the rest: serializing gigabytes to learn their size would cost more than the run.
    """
    light, payload = RecordDict(), 0
    for name, record in content.items():
        if isinstance(record, ArrayRecord):
            payload += sum(len(array.data) for array in record.values())
            record = ArrayRecord({key: Array(a.dtype, a.shape, a.stype, b"") for key, a in record.items()})
        light[name] = record
    return payload + int(recorddict_to_proto(light).ByteSize())


def _view(array: Array) -> NDArray[Any]:
    """Parse the ``.npy`` bytes of an array. `Array.numpy` would copy them, which counts at gigabytes."""
    stream = BytesIO(array.data)
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("a message holds an array of Python objects: refused")
    flat = np.frombuffer(array.data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")
