"""Deleting what a server holds of one client: its embeddings, what it said of its clips, and its recorded messages.

What was learnt from the embeddings is not undone by that: f_s, the codec and the detectors that others have built.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from collab_asd.classifier.model import IdClassifier, to_arrays
from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.schemas import STORE as STORE_SCHEMA
from collab_asd.federation.recording import VIEW
from collab_asd.methods.embedding_sharing import store
from collab_asd.methods.embedding_sharing.state import CARD, KEPT, STORE, ServerState


@dataclass(frozen=True)
class Forgotten:
    """What was deleted.

    Parameters
    ----------
    pages, page_bytes : int
        Files of embeddings.
    shared : int
        Files among them that also lie in the folder of a run that went on from this one.
    messages : int
        Recorded ones.
    classifiers : int
        Copies of f_s in the server's cache that were trained on the client's embeddings with those of others.
    """

    pages: int
    page_bytes: int
    shared: int
    messages: int
    classifiers: int


@dataclass(frozen=True)
class _Held:
    """What a server's result folder may have of one client, and where."""

    client: int
    kept: ServerState | None
    pages: list[Path]
    view: Path

    @classmethod
    def of(cls, result: Path, client: int) -> Self:
        kept = ServerState.load(result / KEPT) if (result / KEPT / CARD).exists() else None
        if (result / KEPT / STORE / store.CARD).exists():
            STORE_SCHEMA.read(result / KEPT / STORE / store.CARD)  # another release's is refused before any deletion
        pages = list((result / KEPT / STORE).glob(f"client-{client}-*"))
        return cls(client, kept, pages, result / VIEW / f"client-{client}")

    @property
    def anything(self) -> bool:
        return (
            bool(self.pages) or self.view.exists() or (self.kept is not None and self.client in self.kept.descriptions)
        )


def forget(result: Path, client: int, cache: Path) -> Forgotten:
    """Delete what a finished run's result folder holds of one client; what it holds of others stays of use.

    Parameters
    ----------
    result : Path
        The server's.
    client : int
    cache : Path
        Where trained classifiers are cached.

    Raises
    ------
    InputError
        The folder is no server's, or has nothing of that client.
    """
    held = _Held.of(result, client)
    kept, pages, view = held.kept, held.pages, held.view
    if not held.anything:
        raise InputError(f"{result}: holds nothing of client {client}{_who(kept)}")
    about = [file.stat() for file in pages]
    messages = len(list(view.glob("*.json")))
    _delete_files(pages)
    shutil.rmtree(view, ignore_errors=True)
    _strike_out(result / KEPT / STORE / store.CARD, client)
    cached = _delete_cached(cache, kept.classifiers if kept and client in kept.descriptions else {})
    if kept and client in kept.descriptions:  # last: what was begun and broke off is then found again
        replace(kept, descriptions={c: said for c, said in kept.descriptions.items() if c != client}).save(
            result / KEPT
        )
    sizes, linked = sum(found.st_size for found in about), sum(found.st_nlink > 1 for found in about)
    return Forgotten(len(pages), sizes, linked, messages, cached)


def holds(result: Path, client: int) -> bool:
    """Whether a server's result folder has anything of a client."""
    return _Held.of(result, client).anything


def _who(kept: ServerState | None) -> str:
    return f"; it has clients {', '.join(map(str, sorted(kept.descriptions)))}" if kept and kept.descriptions else ""


def _delete_files(files: Iterable[Path]) -> None:
    for file in files:
        try:
            file.unlink()
        except OSError as error:
            raise InputError(f"{file}: cannot be deleted ({error.strerror}); nothing is done until it can") from error


def _strike_out(card: Path, client: int) -> None:
    """Take a client out of the store's own list."""
    if not card.exists():
        return
    found = STORE_SCHEMA.read(card)
    found["clients"].pop(str(client), None)
    with replacing(card) as file:
        file.write(json.dumps(found).encode())


def _delete_cached(cache: Path, classifiers: Mapping[int, IdClassifier]) -> int:
    """Delete the copies of some classifiers; they are found by what they are, since any run may have put them there."""
    wanted = [to_arrays(model) for model in classifiers.values()]
    copies = [file for file in sorted(cache.glob("*.safetensors")) if any(_same(file, arrays) for arrays in wanted)]
    _delete_files(copies)
    return len(copies)


def _same(file: Path, arrays: Mapping[str, NDArray[np.generic]]) -> bool:
    try:
        found = load_file(file)
    except (OSError, ValueError, SafetensorError):
        return False
    return found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in found)
