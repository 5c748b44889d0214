"""A detector in a folder: ``detector.json`` for what a person may read, ``detector.safetensors`` for the arrays.

No pickle: loading a detector runs no code of whoever made it. A flipped byte is found (`collab_asd.core.schemas`), and
numbers that no detector can have are refused. Neither tells who made a detector: what its maker chose for its threshold
and its normal clips, it decides by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collab_asd.classifier.model import ClassifierSettings, from_arrays, to_arrays
from collab_asd.config import FrontEnd, OpenL3Backend, OpenL3Model, Precision, RunConfig, Thresholding
from collab_asd.core.errors import InputError
from collab_asd.core.schemas import DETECTOR, load_arrays_of, part, require_sealed, save_card
from collab_asd.core.terminal import shortened
from collab_asd.data.recorder import RecorderProfile
from collab_asd.detection.choice import CARD_FILE, read_description
from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.detection.second_order import others_from_arrays, others_to_arrays
from collab_asd.wire.codecs import Codec, parse
from collab_asd.wire.codecs.stages import Stage
from collab_asd.wire.defences.linear import Erasure, Rotation, load_rotation
from collab_asd.wire.defences.noise import Clipping
from collab_asd.wire.fields import Value, require, require_finite

KEPT: dict[str, type[Stage]] = {"clipping": Clipping, "erasure": Erasure}
ARRAYS_FILE = "detector.safetensors"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class DetectorCard:
    """What must be known of a detector, beside its arrays. Holds no secret.

    Parameters
    ----------
    machine_type, machine_id : str
    encoder, encoder_digest : str
        f_c by name, and the SHA-256 of its architecture, weights and key.
    encoder_weights : str
        Where its weights file lay; empty for the encoder's own.
    seed : int
        Of the run; for ``random-conv`` without a secret key also the number of the public key.
    channel : int
        Of a recording, from 0.
    sample_rate : int
        Of the recordings that it learnt from, Hz.
    threshold : float
        Score above which a clip is called anomalous.
    false_alarm_rate : float
        What the threshold was set for.
    thresholding : str
        How: see `collab_asd.detection.thresholds`.
    data_dir : str
        Folder of the recordings that it learnt from, where they lay at the client.
    normals : tuple of str
        Names of the normal clips in it, in the order of the detector's.
    openl3_model, frontend, openl3_backend : str
        Which of OpenL3's networks and front ends; of no meaning to other encoders.
    precision : str
        What the encoder's network is computed in.
    rotation : str
        Fingerprint of the secret rotation of the space of f_s, whose key its user must name; empty for none.
    recorder : mapping
        How the normal clips were recorded; empty in detectors of earlier versions.
    clip_seconds : float
        Length of the clips that longer recordings were cut into, s; 0: none was cut.
    misfit : bool
        Whether the covariances of other machines, with which it scores, do not suit the machine.
    """

    machine_type: str
    machine_id: str
    encoder: str
    encoder_digest: str
    encoder_weights: str
    seed: int
    channel: int
    sample_rate: int
    threshold: float
    false_alarm_rate: float
    thresholding: Thresholding
    data_dir: str
    normals: tuple[str, ...]
    openl3_model: OpenL3Model = RunConfig.openl3_model
    frontend: FrontEnd = RunConfig.frontend
    openl3_backend: OpenL3Backend = RunConfig.openl3_backend
    precision: Precision = RunConfig.precision
    rotation: str = ""
    recorder: RecorderProfile = field(default_factory=dict)
    clip_seconds: float = 0.0
    misfit: bool = False

    @property
    def machine(self) -> str:
        """``"type/id"``."""
        return f"{self.machine_type}/{self.machine_id}"


def save(folder: Path, detector: Detector, card: DetectorCard) -> None:
    """Write a detector into a folder, in place of one that may be there."""
    arrays = {f"{i}/{k}": v for i, space in enumerate(detector.spaces) for k, v in _arrays(space).items()}
    if detector.levels is not None:
        arrays["levels"] = detector.levels
    content = {**DETECTOR.stamp, "card": asdict(card), "spaces": [_settings(space) for space in detector.spaces]}
    save_card(folder / CARD_FILE, folder / ARRAYS_FILE, content, arrays)


def load(folder: Path, rotation_key_file: str = "") -> tuple[Detector, DetectorCard]:
    """Read a detector.

    Parameters
    ----------
    folder : Path
    rotation_key_file : str
        The key of its rotation, where it has one. That is no part of a detector.

    Raises
    ------
    InputError
        It is not there, was made by another version, is damaged, or has another rotation.
    """
    content = _read_card(folder)
    by_name = load_arrays_of(content, folder / CARD_FILE, folder / ARRAYS_FILE, DETECTOR)
    card = _card(folder, content)
    try:
        require_finite(by_name)
        turn = partial(_rotation, folder, card, rotation_key_file)
        spaces = [_space(settings, part(by_name, f"{i}/"), turn) for i, settings in enumerate(content["spaces"])]
        if not spaces or any(len(space.normals) != len(card.normals) for space in spaces):
            raise ValueError("it has no space, or other normal clips than it names")
        if (levels := by_name.get("levels")) is not None and (levels.ndim != 2 or len(levels) != len(card.normals)):
            raise ValueError("it has levels of other clips than it names")
    except Exception as error:  # a state that no detector has fails in any way
        raise _other_version(folder, error) from error
    return Detector(tuple(spaces), levels), card


def read_cards(folder: Path) -> dict[Path, DetectorCard]:
    """Read what is known of all detectors below a folder, in the order of their paths; none if there is no such folder.

    Raises
    ------
    InputError
        One is damaged or of another version.
    """
    return {path.parent: _card(path.parent, _read_card(path.parent)) for path in sorted(folder.rglob(CARD_FILE))}


def _card(folder: Path, content: Mapping[str, Any]) -> DetectorCard:
    try:
        card = DetectorCard(**content["card"] | {"normals": tuple(content["card"]["normals"])})
        require(CARD, {name: getattr(card, name) for name in CARD})
        for name in card.normals:
            _PATH.require("normals", name)
        return card
    except (KeyError, TypeError, ValueError) as error:
        raise _other_version(folder, error) from error


_NAME, _PATH = Value(str, most=1000), Value(str, most=10_000, is_path=True)
CARD = {
    **dict.fromkeys(("encoder", "encoder_digest", "thresholding"), _NAME),
    **dict.fromkeys(("openl3_model", "frontend", "openl3_backend", "rotation"), _NAME),
    **dict.fromkeys(("machine_type", "machine_id", "encoder_weights", "data_dir"), _PATH),
    "seed": Value(int),
    "channel": Value(int, 0, 2**16),
    "sample_rate": Value(int, 1, 2**24),
    "threshold": Value(float),
    "false_alarm_rate": Value(float, 0, 1),
}
"""What the fields of a `DetectorCard` may be, as files of others say them."""


def _other_version(folder: Path, error: Exception) -> InputError:
    what = shortened(error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}", 800)
    return InputError(f"{folder}: not a detector of this version ({what}); repeat the run that made it")


def _arrays(space: Space) -> Arrays:
    """Lay out one space. Scorers are fitted again when it is loaded: their state is their normal points."""
    f_s = {} if space.classifier is None else to_arrays(space.classifier)
    codec = {} if space.codec is None else space.codec.to_arrays()
    own = {f"{name}/": stage.learnt for stage in _own(space) for name, kind in KEPT.items() if isinstance(stage, kind)}
    return {
        "points": np.concatenate(space.normals),
        "lengths": np.array([len(clip) for clip in space.normals], np.int64),
        "held_out": space.held_out,
        **({} if space.others is None else {f"others/{k}": v for k, v in others_to_arrays(space.others).items()}),
        **{f"f_s/{name}": np.asarray(array, order="C") for name, array in f_s.items()},
        **{f"codec/{name}": np.asarray(array, order="C") for name, array in codec.items()},
        **{p + name: np.asarray(array, order="C") for p, learnt in own.items() for name, array in learnt.items()},
    }


def _settings(space: Space) -> dict[str, Any]:
    classifier = None if space.classifier is None else space.classifier.settings.to_plain()
    codec = None if space.codec is None else space.codec.text
    turned = [len(stage.learnt["scales"]) for stage in _own(space) if isinstance(stage, Rotation)]
    return {
        "scorer": asdict(space.settings),
        "classifier": classifier,
        "codec": codec,
        "turned": sum(turned),
        "trained": space.trained,
    }


def _own(space: Space) -> tuple[Stage, ...]:
    return () if space.codec is None else space.codec.own


def _space(settings: Mapping[str, Any], arrays: Arrays, turn: Callable[[int], Rotation]) -> Space:
    classifier = None
    if settings["classifier"] is not None:
        classifier = from_arrays(ClassifierSettings.from_plain(settings["classifier"]), part(arrays, "f_s/"))
    scorer, codec = ScorerSettings(**settings["scorer"]), _codec(settings.get("codec"), arrays)
    if codec is not None:
        codec = codec.with_own(_defences(int(settings.get("turned", 0)), arrays, turn))
    trained, told = int(settings.get("trained", 0)), part(arrays, "others/")
    others = others_from_arrays(told) if told else None
    normals = np.split(arrays["points"], np.cumsum(arrays["lengths"])[:-1])
    return Space(classifier, scorer, codec, others).learn(normals, arrays["held_out"], trained)


def _codec(text: str | None, arrays: Arrays) -> Codec | None:
    """Return the codec of a space; detectors that are older than codecs have none."""
    return None if text is None else parse(text).with_arrays(part(arrays, "codec/"))


def _defences(turned: int, arrays: Arrays, turn: Callable[[int], Rotation]) -> Iterator[Stage]:
    """Return what frames go through beside the codec: clipping, rotation of so many dimensions, erasure; if any."""
    if clipped := part(arrays, "clipping/"):
        yield Clipping().with_learnt(clipped)
    if turned:
        yield turn(turned)
    if erased := part(arrays, "erasure/"):
        yield Erasure().with_learnt(erased)


def _rotation(folder: Path, card: DetectorCard, key_file: str, dimension: int) -> Rotation:
    if not key_file:
        raise InputError(f"{folder}: its space is turned by a secret rotation; name its key with --rotation-key-file")
    rotation = load_rotation(key_file, dimension)
    if rotation.fingerprint != card.rotation:
        raise InputError(f"{key_file}: not the key of the rotation that {folder} was made with; name that one")
    return rotation


def _read_card(folder: Path) -> dict[str, Any]:
    return require_sealed(read_description(folder), folder / CARD_FILE, DETECTOR)
