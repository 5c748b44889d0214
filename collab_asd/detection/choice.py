"""Which detector of a result folder judges a recording: that of the machine which the recording's name tells.

Apart from what takes long to import: nothing is loaded, only the description of each detector is read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collab_asd.config import RunConfig, nearest
from collab_asd.core.errors import InputError
from collab_asd.core.files import machine_folder_name
from collab_asd.core.schemas import DETECTOR
from collab_asd.data.recordings import shorten

CARD_FILE = "detector.json"
DETECTORS = "detectors"
WHERE = "name a result folder, or a folder such as results/RUN/detectors/TYPE_id_ID"
NAMED_ID = re.compile(r"(?:^|_)(?:id|section)_([0-9A-Za-z]+)(?=_|$)")  # DCASE until 2021, and from 2022 on
SPLITS = re.compile(r"(.+_)?(train|test)")  # a folder of DCASE, below that of the machine's type
PLAIN_DEPTH = 3  # folders from a recording up to its machine's: pump1/test/normal
LABELS = ("normal", "abnormal")  # folders of MIMII, below that of the machine's ID


def read_description(folder: Path) -> dict[str, Any]:
    """Read what lies beside a detector's arrays.

    Raises
    ------
    InputError
        There is no detector, or its description is damaged or another release's.
    """
    if not (folder / CARD_FILE).is_file():
        raise InputError(f"{folder}: no detector there (no {CARD_FILE}); {WHERE}")
    return DETECTOR.read(folder / CARD_FILE)


@dataclass(frozen=True)
class SavedDetector:
    """A detector in its folder, with the description that lies beside its arrays."""

    folder: Path
    machine_type: str
    machine_id: str
    description: dict[str, Any]

    @classmethod
    def at(cls, folder: Path) -> SavedDetector:
        """Read the description in a folder.

        Raises
        ------
        InputError
            It cannot be read, or is none.
        """
        try:
            card = read_description(folder)["card"]
            return cls(folder, str(card["machine_type"]), str(card["machine_id"]), dict(card))
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder / CARD_FILE}: not {DETECTOR.what}, or damaged; {DETECTOR.remedy}") from error

    def encoder_config(self, weights: str, key_file: str) -> RunConfig:
        """Return the configuration of the encoder that it needs, with the user's files of it."""
        card = self.description
        keys = ("encoder", "openl3_model", "frontend", "openl3_backend", "precision", "seed")
        given = {"encoder_weights": weights or card.get("encoder_weights", ""), "encoder_key_file": key_file}
        return RunConfig(**{key: card[key] for key in keys if key in card} | given)


def find_detectors(folder: Path) -> list[SavedDetector]:
    """Return the detector in a folder; or all those of a result folder, or of its folder ``detectors``.

    Raises
    ------
    InputError
        There is none; names those that lie beside it under a similar name.
    """
    if (folder / CARD_FILE).is_file():
        return [SavedDetector.at(folder)]
    root = folder / DETECTORS if (folder / DETECTORS).is_dir() else folder
    found = [card.parent for depth in ("*", "*/*") for card in root.glob(f"{depth}/{CARD_FILE}")]
    if found:
        return [SavedDetector.at(path) for path in sorted(found)]
    if (folder / "summary.json").is_file():
        raise InputError(
            f"{folder}: no detector there: this run kept none (under Algorithm 2 the ID classifier stays with the "
            "server; local networks are not kept); name another run"
        )
    beside = [card.parent.name for card in folder.parent.glob(f"*/{CARD_FILE}")]
    similar = [str(folder.parent / name) for name in nearest(folder.name, beside)]
    advice = f"did you mean {' or '.join(similar)}?" if similar else WHERE
    raise InputError(f"{folder}: no detector there; {advice}")


def choose(detectors: Sequence[SavedDetector], recording: Path) -> SavedDetector | None:
    """Return the only detector, or that of the machine which a recording names; None if it names no single one.

    The ID stands in the file's name (``normal_id_01_00000001.wav``) or is its folder's (``id_01``), or the folder is
    named as the detector's (``ToyCar_id_01``), or as the machine's own (``pump1``). Where there are detectors of
    several types, or the layout of the folders shows a type, that must be the detector's.
    """
    if len(detectors) == 1:
        return detectors[0]
    types = {detector.machine_type for detector in detectors}
    fitting = [detector for detector in detectors if _fits(detector, recording.absolute(), types)]
    return fitting[0] if len(fitting) == 1 else None


def choose_all(
    detectors: Sequence[SavedDetector], recordings: Iterable[Path], where: Path
) -> dict[Path, SavedDetector]:
    """Return the detector of each recording.

    Parameters
    ----------
    detectors : sequence of SavedDetector
    recordings : iterable of Path
    where : Path
        What the user named to find the detectors in.

    Raises
    ------
    InputError
        A recording's name tells no machine, or more than one: names it, and the detectors.
    """
    chosen = {recording: choose(detectors, recording) for recording in recordings}
    if lost := [recording for recording, detector in chosen.items() if detector is None]:
        raise InputError(undecided(detectors, lost, where))
    return {recording: detector for recording, detector in chosen.items() if detector is not None}


def undecided(detectors: Sequence[SavedDetector], recordings: Sequence[Path], where: Path) -> str:
    """Say which recordings no detector could be chosen for, which detectors there are, and how to name one."""
    example = shlex.join(["collab-asd", "score", str(detectors[0].folder), str(recordings[0])])
    names = ", ".join(str(detector.folder) for detector in detectors)
    return (
        f"{shorten(recordings)}: the name does not tell which of the {len(detectors)} machines of {where} it is; "
        f"name its detector, as in `{example}`; there are {names}"
    )


def _fits(detector: SavedDetector, recording: Path, types: set[str]) -> bool:
    folder, above = recording.parent.name, recording.parent.parent.name
    if machine_folder_name(detector.machine_type, detector.machine_id) in (folder, above):
        return True
    in_name = NAMED_ID.search(recording.stem)
    named = [in_name[1]] if in_name else [name.removeprefix("id_") for name in (folder, above) if name[:3] == "id_"]
    if detector.machine_id.removeprefix("section_") not in named[:1]:
        return not named and _is_of_plain_folder(detector, recording)
    shown = _type_of_layout(recording) or next((name for name in (folder, above) if name in types), None)
    return shown == detector.machine_type if shown is not None else len(types) == 1


def _is_of_plain_folder(detector: SavedDetector, recording: Path) -> bool:
    """Whether one of the nearest folders is the machine's: ``pump1``, or ``north`` in ``pumps``."""
    machine_type, machine_id = detector.machine_type, detector.machine_id
    return any(
        re.fullmatch(rf"{re.escape(machine_type)}[ _-]*{re.escape(machine_id)}", folder.name)
        or (folder.name == machine_type and machine_id == "00")
        or (folder.name, folder.parent.name) == (machine_id, machine_type)
        for folder in list(recording.parents)[:PLAIN_DEPTH]
    )


def _type_of_layout(recording: Path) -> str | None:
    """Return the machine type where the folders are laid out as in DCASE or MIMII."""
    folders = [parent.name for parent in recording.parents]
    if len(folders) > 1 and SPLITS.fullmatch(folders[0]):
        return folders[1]
    if len(folders) > 2 and folders[0] in LABELS and folders[1].startswith("id_"):
        return folders[2]
    return None
