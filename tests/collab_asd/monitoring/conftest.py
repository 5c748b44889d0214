"""A humming machine on disk, and a detector of it as a run would have saved it."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from collab_asd.core.types import MachineFrames
from collab_asd.detection import storage
from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.detection.storage import DetectorCard
from collab_asd.encoders.logmel import LogMel
from collab_asd.encoders.random_conv import RandomConv, demo_key

RATE, SECONDS = 16_000, 1.5  # Hz, s


def sound(seed, whistle=0.0):
    """A hum in noise ``[samples]``, in 16-bit steps."""
    rng = np.random.default_rng(seed)
    samples = int(SECONDS * RATE)
    time = np.arange(samples) / RATE
    hum = np.sin(2 * np.pi * 200 * (1 + 0.01 * rng.normal()) * time)
    wave = 0.1 * hum + 0.02 * rng.normal(size=samples) + whistle * np.sin(2 * np.pi * 3000 * time)
    return (np.rint(wave * 32768) / 32768).astype(np.float32)


def write(path, waveform, rate=RATE, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate, subtype=subtype)
    return path


@pytest.fixture(scope="session")
def normal_paths(tmp_path_factory):
    """The recordings that detectors learn from."""
    folder = tmp_path_factory.mktemp("data")
    return [write(folder / "fan" / "train" / f"normal_{i:02d}.wav", sound(i)) for i in range(12)]


@pytest.fixture(scope="session")
def save_detector(normal_paths):
    """Fit a detector of the machine with one of the encoders, and save it."""

    def save_detector(folder, encoder, **changes):
        frames = [encoder(soundfile.read(path, dtype="float32")[0]) for path in normal_paths]
        detector = Detector((Space.fit(MachineFrames(0, 0, frames[4:], frames[:4]), ScorerSettings("knn")),))
        names = tuple(f"fan/train/{path.name}" for path in [*normal_paths[4:], *normal_paths[:4]])
        data_dir = str(normal_paths[0].parents[2])
        known = ("fan", "00", encoder.spec.name, encoder.spec.digest)
        card = DetectorCard(*known, "", 0, 0, 16000, 1.0, 0.1, "gamma", data_dir, names)
        storage.save(folder, detector, replace(card, **changes))
        return folder

    return save_detector


@pytest.fixture(scope="session")
def detectors(save_detector, tmp_path_factory):
    """Folders of detectors with either encoder; that of random-conv by the public key number 3."""
    folder = tmp_path_factory.mktemp("detectors")
    encoders = {"logmel": LogMel(), "random-conv": RandomConv(demo_key(3))}
    return {name: save_detector(folder / name, encoder, seed=3) for name, encoder in encoders.items()}


@pytest.fixture(scope="session")
def edited():
    """Change a card in a detector's folder and seal it again."""

    def edited(folder, **changes):
        content = json.loads((folder / "detector.json").read_bytes())
        del content["sha256"]
        content["card"] |= changes
        seal = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        (folder / "detector.json").write_text(json.dumps({**content, "sha256": seal}))
        return folder

    return edited


@pytest.fixture(scope="session")
def make_sound():
    return sound


@pytest.fixture(scope="session")
def write_sound():
    return write
