"""The recorded view: all that passed between the server and its clients, written down as it was received.

Each message is two files in the folder of its client: its arrays as safetensors, and, written last, a JSON of all else.
Numbers count the messages of one client in the order in which they passed: ``client-2/00004-up-train.embeddings.json``.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from numpy.typing import NDArray
from safetensors.numpy import save as save_arrays

from collab_asd.core.files import replacing
from collab_asd.core.schemas import VIEW as VIEW_SCHEMA
from collab_asd.federation.messages import from_record

VIEW = "view"
Way = Literal["down", "up"]
"""To a client, or from it."""


class ViewRecorder:
    """Writes messages into a folder; a run that is taken up again goes on counting.

    Parameters
    ----------
    folder : Path
        Made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._counts: Counter[int] = Counter()

    def __call__(self, way: Way, client: int, message: Message) -> None:
        """Write down one message.

        Parameters
        ----------
        way : {"down", "up"}
        client : int
        message : Message
            A reply has the type of the message that it answers, such as ``"train.embeddings"``.
        """
        folder, kind = self.folder / f"client-{client}", message.metadata.message_type
        number = self._counts[client] or len(list(folder.glob("*.json")))
        self._counts[client] = number + 1
        stem = f"{number:05d}-{way}-{kind}"
        content = RecordDict() if message.has_error() else message.content
        card: dict[str, Any] = {"way": way, "client": client, "kind": kind, "records": _plain(content)}
        card |= VIEW_SCHEMA.stamp
        if message.has_error():
            card["error"] = message.error.reason
        _write(folder / f"{stem}.safetensors", save_arrays(_arrays(content)))
        _write(folder / f"{stem}.json", json.dumps(card, indent=1, default=bytes.hex).encode())


def _arrays(content: RecordDict) -> dict[str, NDArray[Any]]:
    """Return all arrays under the names of record and array."""
    return {
        f"{name}/{key}": np.asarray(array, order="C")
        for name, record in content.array_records.items()
        for key, array in from_record(record).items()
    }


def _plain(content: RecordDict) -> dict[str, Any]:
    """Return the records that hold no arrays."""
    return {name: dict(record) for name, record in content.items() if not isinstance(record, ArrayRecord)}


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
