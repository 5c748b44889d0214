"""Synthetic data on disk: in the DCASE layout, whole or not at all, and in a cache that processes share."""

from __future__ import annotations

import csv
import hashlib
import json
import uuid
from dataclasses import asdict
from pathlib import Path

import numpy as np
import platformdirs
import soundfile
from filelock import FileLock
from numpy.typing import NDArray

from collab_asd.atomic import filling
from collab_asd.data.synthetic.clips import SyntheticClip, clips
from collab_asd.data.synthetic.settings import SyntheticSettings
from collab_asd.errors import InputError
from collab_asd.interfaces import FloatArray
from collab_asd.progress import step

GENERATOR = 3
"""Raised whenever the same settings would give other sounds, so that cached ones are not taken for them."""

METADATA = (
    *("path", "machine_type", "machine_id", "split", "label"),
    *("speed", "load", "factory", "snr_db", "fault", "severity"),
)


def write_dataset(folder: Path, settings: SyntheticSettings) -> Path:
    """Write a data set in the DCASE layout, with a ``metadata.csv`` of each clip's conditions and fault.

    It is written beside `folder` and moved there when complete.

    Parameters
    ----------
    folder : Path
        A folder that does not exist yet or is empty.
    settings : SyntheticSettings
        What to make.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    InputError
        If `folder` holds something already or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists and is not an empty folder; name another one or remove it")
    unfinished = folder.absolute().with_name(f".{folder.name}-{uuid.uuid4().hex}")
    with filling(unfinished):
        unfinished.mkdir(parents=True)
        _write_clips(unfinished, settings)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    return folder


def ensure_dataset(settings: SyntheticSettings, cache_dir: Path | None = None) -> Path:
    """Make the data set of these settings unless the cache has it; several processes may ask for it at once.

    Parameters
    ----------
    settings : SyntheticSettings
        What to make.
    cache_dir : Path, optional
        The user's cache folder if None.

    Returns
    -------
    Path
        The data folder, ``synthetic/<digest of settings and generator>`` in the cache.
    """
    root = (cache_dir or Path(platformdirs.user_cache_dir("collab-asd"))) / "synthetic"
    root.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps({"generator": GENERATOR, **asdict(settings)}, sort_keys=True).encode())
    folder = root / digest.hexdigest()[:16]
    with FileLock(root / f"{folder.name}.lock"):
        return folder if folder.exists() else write_dataset(folder, settings)


def _write_clips(folder: Path, settings: SyntheticSettings) -> None:
    count = settings.machines * (settings.train + settings.test_normal + settings.test_anomaly)
    with (
        (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file,
        step("rendering synthetic recordings", count, even=True) as advance,
    ):
        table = csv.DictWriter(file, METADATA)
        table.writeheader()
        for clip in clips(settings):
            sound = clip.sound(settings.seconds, settings.sample_rate)
            (folder / clip.path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / clip.path, _sixteen_bit(sound), settings.sample_rate, subtype="PCM_16")
            table.writerow(_metadata(clip))
            advance()


def _sixteen_bit(sound: FloatArray) -> NDArray[np.int16]:
    """Quantise as a recorder does: what is too loud is clipped."""
    return np.clip(np.rint(sound * 32767), -32768, 32767).astype(np.int16)


def _metadata(clip: SyntheticClip) -> dict[str, object]:
    """Describe a clip as a row of ``metadata.csv``: speed in Hz, load 0 to 1, SNR in dB, fault ``none`` if normal."""
    return {
        "path": clip.path.as_posix(),
        "machine_type": clip.machine.machine_type,
        "machine_id": clip.machine.machine_id,
        "split": clip.split,
        "label": clip.label,
        **asdict(clip.conditions),
        "fault": clip.fault.kind if clip.fault else "none",
        "severity": clip.fault.severity if clip.fault else 0.0,
    }
