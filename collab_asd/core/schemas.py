"""What one release writes and another may read: versions of all files, and how arrays are kept with a card.

There is one table of versions, and one sentence for what cannot be read. A version is raised when files of the version
before can no longer be read as they are. Messages between server and clients have a version of their own,
`collab_asd.federation.roster.PROTOCOL`.

Detectors and servers' states are arrays in a safetensors file, and beside it a JSON card for all else. The card holds
the SHA-256 of the arrays and, as its seal, its own. Both are checked at reading: a flipped byte in either is found. The
seal is no signature. It tells what was damaged; whoever changes a card can seal it again. The card is written last: a
folder that has one is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from collab_asd import __version__
from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing


class VersionError(InputError):
    """A file is of a version that this release does not read."""


@dataclass(frozen=True)
class Schema:
    """How files of one kind say their version.

    Parameters
    ----------
    what : str
        What a file is: ``"a detector"``.
    remedy : str
        What to do about a file that is too old, or damaged.
    readable : tuple of int
        Versions that this release reads; it writes the last.
    key : str
        Where the version stands in a file.
    unnamed : int or None
        Version of a file that names none; None where each names one.
    """

    what: str
    remedy: str
    readable: tuple[int, ...] = (1,)
    key: str = "version"
    unnamed: int | None = None

    @property
    def version(self) -> int:
        """The version that this release writes."""
        return self.readable[-1]

    @property
    def stamp(self) -> dict[str, int]:
        """What a new file says."""
        return {self.key: self.version}

    def require_readable(self, content: Mapping[str, object], file: Path) -> int:
        """Return the version of a file.

        Parameters
        ----------
        content : mapping
            Of the file.
        file : Path
            For the message.

        Raises
        ------
        VersionError
            This release does not read it: names the file, its version, the readable ones, and what to do.
        """
        found = content.get(self.key, self.unnamed)
        if isinstance(found, int) and not isinstance(found, bool) and found in self.readable:
            return found
        if found is None:
            raise InputError(f"{file}: not {self.what}, or damaged; {self.remedy}")
        is_newer = isinstance(found, int) and found > self.version
        remedy = "install the collab-asd that wrote it, or a newer one" if is_newer else self.remedy
        readable = f"collab-asd {__version__} reads version {' and '.join(map(str, self.readable))}"
        raise VersionError(f"{file}: {self.what} of version {found!r}, {readable}; {remedy}")

    def read(self, file: Path) -> dict[str, Any]:
        """Read a JSON file.

        Raises
        ------
        InputError
            It cannot be read, is damaged, or of a version that this release does not read.
        """
        try:
            content = json.loads(file.read_bytes())
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror}); {self.remedy}") from error
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise InputError(f"{file}: not {self.what}, or damaged; {self.remedy}")
        self.require_readable(content, file)
        return content


REPEAT = "repeat the run that made it"
RESULTS = Schema("a summary of a run", "use the release of collab-asd that wrote it, or repeat the run", unnamed=1)
AUDIT = Schema("an audit", "repeat collab-asd audit", unnamed=1)
DETECTOR = Schema("a detector's description", "copy it again, or repeat the run that made it", key="format")
SERVER_STATE = Schema("what a server keeps of a run", REPEAT, readable=(2,), key="format")
STORE = Schema("a store of embeddings", "delete it, or name another results-dir", readable=(2,))
VIEW = Schema("a recorded message", "repeat the run with --set record-view=true", readable=(2,), unnamed=1)
AGREEMENT = Schema("an agreement", "write a new one with `collab-asd deploy init`", key="agreement-version", unnamed=1)
ENCODER_BUNDLE = Schema("a bundle", "ask the distributor for a new one", readable=(2,))
CACHED_EMBEDDINGS = Schema("cached embeddings", "", readable=(2,))
"""Part of their path, and so found by nobody else: to be raised when decoding or resampling changes, too, which no
encoder's digest tells."""
CACHED_CLASSIFIER = Schema("a cached classifier", "")
"""Part of its key."""


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


def part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with a prefix, under what is left of their names.

    Examples
    --------
    >>> part({"codec/mean": 1, "f_s/mean": 2}, "codec/")
    {'mean': 1}
    """
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
