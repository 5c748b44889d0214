"""Arrays in a safetensors file, and beside it a JSON card for all else: how detectors and servers' states are kept.

The card holds the SHA-256 of the arrays and, as its seal, its own. Both are checked at reading: a flipped byte in
either is found. The seal is no signature. It tells what was damaged; whoever changes a card can seal it again.

The card is written last: a folder that has one is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.schemas import Schema

ARRAYS, SEAL = "arrays_sha256", "sha256"
Arrays = dict[str, NDArray[Any]]


def save_card(card: Path, arrays_file: Path, content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays and their card, each in place of what may be there.

    Parameters
    ----------
    card, arrays_file : Path
        In one folder.
    content : mapping
        Of the card, as JSON has it.
    arrays : mapping of str to array
    """
    data = save_arrays({name: np.asarray(array, order="C") for name, array in arrays.items()})
    content = {**content, ARRAYS: hashlib.sha256(data).hexdigest()}
    sealed = json.dumps({**content, SEAL: seal_of(content)}, indent=2) + "\n"
    for path, written in ((arrays_file, data), (card, sealed.encode())):
        with replacing(path) as file:
            file.write(written)


def require_sealed(content: Mapping[str, Any], card: Path, schema: Schema, unsealed: bool = False) -> dict[str, Any]:
    """Return what a card holds beside its seal.

    Parameters
    ----------
    content : mapping
    card : Path
        For the message.
    schema : Schema
    unsealed : bool
        Accept one without a seal, as earlier releases wrote them.

    Raises
    ------
    InputError
        It was damaged or edited.
    """
    rest = dict(content)
    seal = rest.pop(SEAL, None)
    if not (unsealed and seal is None) and seal_of(rest) != seal:
        raise InputError(f"{card}: damaged or edited (SHA-256 mismatch); {schema.remedy}")
    return rest


def load_arrays_of(content: Mapping[str, Any], card: Path, arrays_file: Path, schema: Schema) -> Arrays:
    """Read the arrays that belong to a card.

    Raises
    ------
    InputError
        They cannot be read, or are not those of the card.
    """
    try:
        data = arrays_file.read_bytes()
    except OSError as error:
        raise InputError(f"{arrays_file}: cannot be read ({error.strerror}); {schema.remedy}") from error
    if hashlib.sha256(data).hexdigest() != content.get(ARRAYS):
        raise InputError(f"{arrays_file}: damaged (its SHA-256 is not the one in {card.name}); {schema.remedy}")
    try:
        return load_arrays(data)
    except SafetensorError as error:
        raise InputError(f"{arrays_file}: holds no arrays ({error}); {schema.remedy}") from error


def seal_of(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of what a card holds, whatever the order of its keys."""
    as_read = json.loads(json.dumps(content))  # numbers that are keys become text, and are sorted as such
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()
