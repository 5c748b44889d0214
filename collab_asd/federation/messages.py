"""What travels between server and clients: message types, arrays in and out of records, ID classifiers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from copy import copy
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.lib import format as npy
from numpy.typing import NDArray

from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.core.terminal import shortened
from collab_asd.federation import flwr_compat
from collab_asd.wire.fields import Numbers, Value, require, require_finite

NUMPY = "numpy.ndarray"  # what Flower calls NumPy's format
NUMBERS = "biuf"  # NumPy's kinds of types
MOST_HEADER = 1024  # bytes; ours have 128
GROUP = re.compile("0|[1-9][0-9]{0,9}")  # a number of 31 bits
HELLO = "query.hello"
DESCRIBE = "query.describe"
STATISTICS = "query.statistics"
SPLIT = "train.split"
EMBEDDINGS = "train.embeddings"
VARIANCES, SCATTER = "train.variances", "train.scatter"
SCORE = "evaluate.score"


def to_record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Put named arrays into a record; each is copied into immutable bytes, once."""
    record = ArrayRecord()  # filled afterwards: given them, it would make every array again
    for name, array in arrays.items():
        record[name] = _lay_out(np.asarray(array, order="C"))
    return record


def from_record(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """Read the arrays of a record as read-only views of the message's bytes, without copying them.

    Raises
    ------
    ValueError
        The bytes are no array of numbers, or not as many as it says.
    """
    return {name: _view(array) for name, array in record.items()}


def read_arrays(content: RecordDict, name: str, fields: Mapping[str, Numbers]) -> dict[str, NDArray[Any]]:
    """Read a record of arrays that another party sent.

    Raises
    ------
    ValueError
        It is missing, or not what `fields` say.
    """
    arrays = arrays_in(content, name)
    require(fields, arrays)
    return arrays


def arrays_in(content: RecordDict, name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of one of the records of a message, as of `from_record`.

    Flower's ``content.array_records`` copies all records each time, which rounds would feel.

    Raises
    ------
    ValueError
        There is no such record, or it cannot be read.
    """
    record = content.get(name)
    if not isinstance(record, ArrayRecord):
        raise ValueError(f"its answer holds no {name}")
    return from_record(record)


def read_values(content: RecordDict, name: str, fields: Mapping[str, Value]) -> dict[str, Any]:
    """Read a record of numbers and texts that another party sent; errors as of `read_arrays`."""
    record = content.get(name)
    if not isinstance(record, ConfigRecord | MetricRecord):
        raise ValueError(f"its answer holds no {name}")
    require(fields, record)
    return dict(record)


def require_records(content: RecordDict, names: Iterable[str]) -> None:
    """Refuse a message with other records than these.

    Raises
    ------
    ValueError
        Names the first that is missing or too many.
    """
    expected = set(names)
    if missing := sorted(expected - content.keys()):
        raise ValueError(f"its answer holds no {shortened(missing[0])}")
    if unknown := sorted(content.keys() - expected):
        raise ValueError(f"its answer holds {shortened(unknown[0])}, which nobody asked for: another version's")


def content_bytes(content: RecordDict) -> int:
    """Size of a message's content on the wire, but for a few bytes of length prefixes.

    Arrays are counted apart from the rest: serializing gigabytes to learn their size would cost more than the run.
    """
    light, arrays = RecordDict(), 0
    for name, record in content.items():
        if isinstance(record, ArrayRecord):
            arrays += _empty_bytes(name)
            arrays += sum(len(a.data) + _label_bytes(key, a.dtype, a.shape, a.stype) for key, a in record.items())
        else:
            light[name] = record
    return arrays + (int(flwr_compat.recorddict_to_proto(light).ByteSize()) if light else 0)


def _lay_out(array: NDArray[Any]) -> Array:
    """Return ``Array(array)``: the same bytes, in a tenth of the time for the small arrays of rounds."""
    blank = _blank(array.dtype, array.shape)
    laid_out = copy(blank)
    laid_out.data = b"".join((blank.data, array.data))
    return laid_out


@lru_cache(maxsize=10_000)
def _blank(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Return an array in C order without its numbers: what stands before them in NumPy's format."""
    if dtype.hasobject:
        raise ValueError("a message cannot hold an array of Python objects")
    stream = BytesIO()
    npy.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": npy.dtype_to_descr(dtype)})
    return Array(str(dtype), shape, NUMPY, stream.getvalue())


@lru_cache(maxsize=10_000)  # rounds send the same names over and over
def _empty_bytes(name: str) -> int:
    """Size of a record without any arrays."""
    return int(flwr_compat.recorddict_to_proto(RecordDict({name: ArrayRecord()})).ByteSize())


@lru_cache(maxsize=10_000)
def _label_bytes(key: str, dtype: str, shape: tuple[int, ...], stype: str) -> int:
    """Size of what stands around an array's data: its name, type and shape."""
    empty = RecordDict({"": ArrayRecord()})
    labelled = RecordDict({"": ArrayRecord({key: Array(dtype, shape, stype, b"")})})
    return int(flwr_compat.recorddict_to_proto(labelled).ByteSize() - flwr_compat.recorddict_to_proto(empty).ByteSize())


def _view(array: Array) -> NDArray[Any]:
    """Parse the ``.npy`` bytes of an array. `Array.numpy` would copy them, which counts at gigabytes.

    Nothing is allocated by what the bytes say of themselves.
    """
    if (stated := _header_size(array.data)) > MOST_HEADER:
        raise ValueError("an array whose header is too long, or none")
    try:
        shape, fortran, dtype, size = _read_header(array.data[:stated])
    except Exception as error:  # NumPy hands a header to Python's parser, which fails in its own ways
        raise ValueError(f"an array whose header cannot be read ({type(error).__name__})") from error
    if math.prod(shape) * dtype.itemsize != len(array.data) - size or any(length < 0 for length in shape):
        raise ValueError("an array of more or fewer bytes than its header says")
    flat: NDArray[Any] = np.frombuffer(array.data, dtype, offset=size) if math.prod(shape) else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _header_size(data: bytes) -> int:
    """Bytes before an array's numbers: magic string, version, length of the description, description."""
    width = 2 if data[6:7] == b"\x01" else 4
    return 8 + width + int.from_bytes(data[8 : 8 + width], "little")


@lru_cache(maxsize=10_000)  # parsing takes longer than all else, and rounds bring the same headers
def _read_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = BytesIO(header)
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.kind not in NUMBERS:
        raise ValueError("a message holds an array of something else than numbers: refused")
    return shape, fortran, dtype, stream.tell()


def put_sums(content: RecordDict, group: int, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Lay out what is added up of a group, and what is said of it."""
    content[f"facts/{group}"] = ConfigRecord(dict(facts))
    content[f"sums/{group}"] = to_record(arrays)


def read_sums(content: RecordDict, group: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `put_sums` has laid out.

    Raises
    ------
    ValueError
        It is not there.
    """
    if f"facts/{group}" not in content.config_records or f"sums/{group}" not in content.array_records:
        raise ValueError(f"its answer holds no sums of group {group}")
    return dict(content.config_records[f"facts/{group}"]), from_record(content.array_records[f"sums/{group}"])


def groups_of_sums(content: RecordDict) -> list[int]:
    """Return the groups of which a message holds sums; errors as of `numbered`."""
    return numbered(content.config_records, "facts/")


def numbered(names: Iterable[str], prefix: str) -> list[int]:
    """Return the numbers of the groups that records are named by: ``facts/3``.

    Raises
    ------
    ValueError
        What stands behind the prefix is no such number.
    """
    found = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if (wrong := next((name for name in found if not GROUP.fullmatch(name)), None)) is not None:
        raise ValueError(f"its answer holds {prefix}{shortened(wrong)}, which names no group")
    return sorted(map(int, found))


def put_classifiers(classifiers: Mapping[int, IdClassifier], groups: Iterable[int]) -> RecordDict:
    """Lay out the ID classifiers of some groups."""
    content = RecordDict()
    for group in groups:
        content[f"f_s/{group}"] = to_record(to_arrays(classifiers[group]))
        content[f"settings/{group}"] = ConfigRecord(classifiers[group].settings.to_plain())
    return content


def holds_classifier(content: RecordDict, group: int) -> bool:
    """Whether a message brings the ID classifier of a group."""
    return f"f_s/{group}" in content.array_records


def read_classifier(content: RecordDict, group: int) -> IdClassifier:
    """Rebuild the ID classifier of a group.

    Raises
    ------
    ValueError
        It is none.
    """
    if f"settings/{group}" not in content.config_records or not holds_classifier(content, group):
        raise ValueError(f"there is no ID classifier of group {group}")
    arrays = from_record(content.array_records[f"f_s/{group}"])
    require_finite(arrays)
    return from_arrays(ClassifierSettings.from_plain(content.config_records[f"settings/{group}"]), arrays)
