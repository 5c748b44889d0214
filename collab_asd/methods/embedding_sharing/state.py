"""What the server keeps of a run, in a folder: f_s, the fitted codec, who took part; embeddings where it retains them.

No pickle: arrays lie in safetensors, all else in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.core.errors import InputError
from collab_asd.core.files import part
from collab_asd.core.schemas import REPEAT, SERVER_STATE, load_arrays_of, require_sealed, save_card
from collab_asd.core.terminal import shortened
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
        content = {
            **SERVER_STATE.stamp,
            "codec": self.codec.text,
            "classifiers": {group: model.settings.to_plain() for group, model in self.classifiers.items()},
            "clients": {client: asdict(said) for client, said in self.descriptions.items()},
        }
        save_card(folder / CARD, folder / ARRAYS, content, named)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read from a folder.

        Raises
        ------
        InputError
            It is not there, damaged, or another version's.
        """
        if not (folder / CARD).is_file():
            raise InputError(f"{folder}: holds nothing to join; name the result folder of a run of embedding sharing")
        card = require_sealed(SERVER_STATE.read(folder / CARD), folder / CARD, SERVER_STATE, unsealed=True)
        by_name = load_arrays_of(card, folder / CARD, folder / ARRAYS, SERVER_STATE)
        try:
            classifiers = {int(g): _classifier(plain, by_name, g) for g, plain in card["classifiers"].items()}
            codec = parse(card["codec"]).with_arrays(part(by_name, "codec/"))
            return cls(classifiers, codec, {int(c): ClientDescription(**said) for c, said in card["clients"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder}: cannot be read ({shortened(error)}); {REPEAT}") from error


def _classifier(plain: Mapping[str, object], arrays: dict[str, np.ndarray], group: str) -> IdClassifier:
    return from_arrays(ClassifierSettings.from_plain(plain), part(arrays, f"f_s/{group}/"))
