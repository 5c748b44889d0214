"""What the server keeps on its disk: of a run, to go on from; and trained ID classifiers, which all runs share.

Of a run it keeps f_s, the fitted codec and who took part, in a folder; embeddings where it retains them: arrays
in safetensors, all else in JSON.

All scorers of a comparison, and a run taken up again, share one trained classifier. Its key is what the weights of f_s
depend on, to the last bit: the training settings and the code that carries them out, seed and group, stacking, the
shared frames and their classes, device, thread count and the numerical libraries. Nothing is kept that the server did
not have: no file, clip or machine name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_arrays

from collab_asd import classifier as id_classifier
from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.core import torch_audio
from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.schemas import (
    CACHED_CLASSIFIER,
    REPEAT,
    SERVER_STATE,
    load_arrays_of,
    part,
    require_sealed,
    save_card,
)
from collab_asd.core.terminal import shortened
from collab_asd.core.types import MachineFrames
from collab_asd.methods.embedding_sharing.algorithm import by_group, train_on_group
from collab_asd.methods.embedding_sharing.pages import ClientDescription
from collab_asd.wire.codecs import Codec, parse

log = logging.getLogger(__name__)
KEPT, STORE = "server", "store"
CARD, ARRAYS = "server.json", "server.safetensors"
LIBRARIES = ("numpy", "torch", "pytorch-metric-learning")
Arrays = dict[str, NDArray[Any]]


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
            classifiers = {
                int(g): from_arrays(ClassifierSettings.from_plain(plain), part(by_name, f"f_s/{g}/"))
                for g, plain in card["classifiers"].items()
            }
            codec = parse(card["codec"]).with_arrays(part(by_name, "codec/"))
            return cls(classifiers, codec, {int(c): ClientDescription(**said) for c, said in card["clients"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder}: cannot be read ({shortened(error)}); {REPEAT}") from error


class ClassifierCache:
    """Classifiers in a folder, one safetensors file each, named by their key.

    Training that takes long keeps each epoch in ``KEY.begun``, and goes on from there in the next run.

    A file's metadata hold a card (key, settings, seconds that the training took) and the SHA-256 of card and arrays.

    Parameters
    ----------
    folder : Path
        Made on first use.

    Attributes
    ----------
    seconds_saved : float
        What training took when the classifiers that `train` found here were trained.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds_saved = 0.0

    def train(
        self,
        machines: Sequence[MachineFrames],
        training: TrainingSettings,
        stacking: tuple[int, int],
        seed: int,
        device: str = "cpu",
        progress: Callable[[int, int, float], None] | None = None,
    ) -> dict[int, IdClassifier]:
        """Do what `train_id_classifiers` does, but for groups that were trained before: these are read."""
        classifiers = {}
        for group, members in by_group(machines).items():
            key = classifier_key(members, training, stacking, seed, device)
            classifier = self._load(key)
            if classifier is None:
                start, begun = time.perf_counter(), self._begun(key)
                classifier = train_on_group(members, training, stacking, seed, device, progress, None, begun)
                self._store(key, classifier, time.perf_counter() - start)
            classifiers[group] = classifier.to(device)
        return classifiers

    def _load(self, key: str) -> IdClassifier | None:
        """Return a stored classifier, or None where there is none that can be trusted."""
        path = self._path(key)
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata()
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            card = json.loads(metadata["card"])
            if metadata["sha256"] != _seal(metadata["card"], arrays) or card["key"] != key:
                raise ValueError("its checksum or its key is wrong")
            classifier = from_arrays(ClassifierSettings.from_plain(card["settings"]), arrays)
            self.seconds_saved += float(card["seconds"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            log.warning("%s: the stored classifier is damaged (%s); training it again", path, error)
            return None
        log.info("ID classifier %s: trained before", key[:12])
        return classifier

    def _store(self, key: str, classifier: IdClassifier, seconds: float) -> None:
        """Keep a classifier; a disk that is full costs a run nothing but the next training."""
        card = json.dumps({"key": key, "settings": classifier.settings.to_plain(), "seconds": seconds})
        arrays = {name: np.asarray(array, order="C") for name, array in to_arrays(classifier).items()}
        try:
            with replacing(self._path(key)) as file:
                file.write(save_arrays(arrays, {"card": card, "sha256": _seal(card, arrays)}))
            self._begun(key).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: the trained classifier cannot be kept (%s)", self.folder, error)

    def _begun(self, key: str) -> Path:
        return self.folder / f"{key}.begun"

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


def classifier_key(
    members: Sequence[MachineFrames], training: TrainingSettings, stacking: tuple[int, int], seed: int, device: str
) -> str:
    """Hex SHA-256 of all that decides the weights of one group's classifier.

    Parameters
    ----------
    members : sequence of MachineFrames
        The machines of one group; only their training clips count.
    """
    circumstances = {
        **CACHED_CLASSIFIER.stamp,
        "training": asdict(training),
        "stacking": stacking,
        "seed": seed,
        "group": members[0].group,
        "device": device,
        "threads": torch.get_num_threads(),
        "code": _code_digest(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
    }
    digest = hashlib.sha256(json.dumps(circumstances, sort_keys=True).encode())
    for machine in members:
        for frames in machine.normal:
            digest.update(f"{machine.machine_class} {frames.shape} {frames.dtype}".encode())
            digest.update(np.ascontiguousarray(frames).data)
    return digest.hexdigest()


@cache
def _code_digest() -> str:
    """Hash the code that trains: after a change in it, yesterday's weights are not those of today."""
    sources = [*sorted(Path(str(id_classifier.__file__)).parent.glob("*.py")), Path(torch_audio.__file__)]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def _seal(card: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(card.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
