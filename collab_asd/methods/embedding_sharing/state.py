"""What the server keeps of a run, in a folder: f_s, the fitted codec, who took part; embeddings where it retains them.

No pickle: arrays lie in safetensors, all else in JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.core.errors import InputError, reason
from collab_asd.core.files import part, replacing
from collab_asd.core.schemas import REPEAT, SERVER_STATE
from collab_asd.methods.embedding_sharing.pages import ClientDescription
from collab_asd.wire.codecs import Codec, parse

KEPT, STORE = "server", "store"
CARD, ARRAYS = "server.json", "server.safetensors"


@dataclass(frozen=True)
class ServerState:
    """What there is to go on from when a machine joins.

    Parameters
    ----------
    classifiers : mapping of int to IdClassifier
        f_s by group.
    codec : Codec
    descriptions : mapping of int to ClientDescription
        By client.
    """

    classifiers: Mapping[int, IdClassifier]
    codec: Codec
    descriptions: Mapping[int, ClientDescription]

    def save(self, folder: Path) -> None:
        """Write into a folder."""
        groups = {f"f_s/{group}/": to_arrays(model) for group, model in self.classifiers.items()}
        named = {prefix + name: array for prefix, own in groups.items() for name, array in own.items()}
        named |= {f"codec/{name}": array for name, array in self.codec.to_arrays().items()}
        arrays = save_arrays({name: np.ascontiguousarray(array) for name, array in named.items()})
        card = {
            **SERVER_STATE.stamp,
            "codec": self.codec.text,
            "classifiers": {group: model.settings.to_plain() for group, model in self.classifiers.items()},
            "clients": {client: asdict(said) for client, said in self.descriptions.items()},
            "arrays_sha256": hashlib.sha256(arrays).hexdigest(),
        }
        for name, content in ((ARRAYS, arrays), (CARD, json.dumps(card, indent=2).encode())):
            with replacing(folder / name) as file:
                file.write(content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read from a folder.

        Raises
        ------
        InputError
            It is not there, damaged, or another version's.
        """
        try:
            card, arrays = json.loads((folder / CARD).read_bytes()), (folder / ARRAYS).read_bytes()
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder}: holds nothing to join ({reason(error)}); "
                "name the result folder of a run of embedding sharing"
            ) from error
        SERVER_STATE.require_readable(card, folder / CARD)
        if hashlib.sha256(arrays).hexdigest() != card.get("arrays_sha256"):
            raise InputError(f"{folder / ARRAYS}: damaged (its SHA-256 is not the one in {CARD}); {REPEAT}")
        try:
            by_name = load_arrays(arrays)
            classifiers = {int(g): _classifier(plain, by_name, g) for g, plain in card["classifiers"].items()}
            codec = parse(card["codec"]).with_arrays(part(by_name, "codec/"))
            return cls(classifiers, codec, {int(c): ClientDescription(**said) for c, said in card["clients"].items()})
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: cannot be read ({error}); repeat the run that made it") from error


def _classifier(plain: Mapping[str, object], arrays: dict[str, np.ndarray], group: str) -> IdClassifier:
    return from_arrays(ClassifierSettings.from_plain(plain), part(arrays, f"f_s/{group}/"))
