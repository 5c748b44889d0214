"""Encoders with their real weights, held against what their authors published; OpenL3 beside its own package, too.

    COLLAB_ASD_OPENL3_WEIGHTS=openl3_audio_mel256_music-v0_4_0.h5.gz COLLAB_ASD_OPENL3_DATA=openl3/tests/data \
    COLLAB_ASD_YAMNET_WEIGHTS=yamnet.h5 COLLAB_ASD_YAMNET_DATA=models/research/audioset/yamnet/npz \
        pytest -rs tests/collab_asd/encoders/test_official.py

What is missing is skipped, and said. OpenL3's data are those of a checkout of github.com/marl/openl3: a chirp and its
embeddings; YAMNet's those of github.com/tensorflow/models: outputs for silence, a sine and noise.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.data.resampling import resample
from collab_asd.encoders import build
from collab_asd.encoders.openl3 import WEIGHTS, OpenL3, package
from collab_asd.encoders.openl3.package import PackagedOpenL3
from collab_asd.encoders.yamnet import WEIGHTS as YAMNET
from collab_asd.encoders.yamnet import YamNet

WANTED = {
    "COLLAB_ASD_OPENL3_WEIGHTS": f"{WEIGHTS['mel256-music'].filename} from {WEIGHTS['mel256-music'].url}",
    "COLLAB_ASD_OPENL3_DATA": "tests/data of a checkout of https://github.com/marl/openl3",
    "COLLAB_ASD_YAMNET_WEIGHTS": f"{YAMNET.filename} from {YAMNET.url}",
    "COLLAB_ASD_YAMNET_DATA": "research/audioset/yamnet/npz of a checkout of https://github.com/tensorflow/models",
}


def wanted(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f"wants {WANTED[variable]} in the environment variable {variable}")
    return Path(os.environ[variable])


@pytest.mark.parametrize(("front_end", "outputs"), [("kapre", "chirp_44k_kapre"), ("legacy", "chirp_44k")])
def test_published_outputs_of_the_real_weights(front_end, outputs):
    data = wanted("COLLAB_ASD_OPENL3_DATA")
    openl3 = OpenL3(wanted("COLLAB_ASD_OPENL3_WEIGHTS"), 6144, front_end=front_end)
    waveform, rate = soundfile.read(data / "audio" / "chirp_44k.wav", dtype="float32")
    with np.load(data / "regression" / f"{outputs}.npz") as published:
        expected = published["embedding"]
    found = openl3(resample(waveform, rate, 48_000))
    assert found.shape == expected.shape == (16, 6144)
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-2


SECONDS, RATE = 3, 16_000
SOUNDS = {
    "Zeros": lambda: np.zeros(SECONDS * RATE),
    "Sine": lambda: np.sin(2 * np.pi * 440 * np.arange(0, SECONDS, 1 / RATE)),
    "Random": lambda: np.random.RandomState(51773).uniform(-1.0, 1.0, SECONDS * RATE),
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_published_outputs_of_yamnet(sound):
    data = wanted("COLLAB_ASD_YAMNET_DATA")
    yamnet = YamNet(wanted("COLLAB_ASD_YAMNET_WEIGHTS"))
    with np.load(data / f"main_YAMNetTest_test{sound}.npz") as published:
        expected = published["embeddings"]
    found = yamnet(SOUNDS[sound]().astype(np.float32))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-4


def test_the_package_gives_the_same(shared, write_h5, tmp_path):
    pytest.importorskip("openl3.models", reason="wants pip install 'collab-asd[openl3]'")
    checkpoint = write_h5("openl3_mel256.json", tmp_path / "openl3_audio_mel256_music.h5")
    with np.load(shared / "golden" / "openl3.npz") as golden:
        waveform = golden["wave48full_int16"].astype(np.float32) / 32768
    expected, found = PackagedOpenL3(checkpoint, 512)(waveform), OpenL3(checkpoint, 512)(waveform)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5


class StandIn:
    """Both modules of the package that are used, as far as they are."""

    def load_audio_embedding_model(self, input_repr, content_type, embedding_size, frontend="kapre"):
        return input_repr, content_type, embedding_size, frontend

    def load_audio_embedding_model_from_path(self, model_path, input_repr, embedding_size, frontend="kapre"):
        return Path(model_path).name, input_repr, embedding_size, frontend

    def get_audio_embedding(self, audio, sr, model, center, hop_size, frontend, verbose):
        assert (sr, center, hop_size, frontend, verbose) == (48_000, True, 0.1, "kapre", False)
        return np.full((OpenL3.frames(len(audio)), model[-2]), 7.0), np.zeros(1)


@pytest.fixture
def stand_in(monkeypatch):
    """As if the package were installed."""
    monkeypatch.setattr(package, "_package", lambda: (StandIn(), StandIn()))
    monkeypatch.setattr(package, "version", lambda name: {"openl3": "0.4.2"}[name])


@pytest.mark.parametrize("dimension", [512, 6144])
def test_the_package_keeps_the_contract_of_an_encoder(stand_in, tmp_path, dimension):
    given = tmp_path / "mine.h5"
    given.write_bytes(b"weights")
    own = build(RunConfig(encoder=f"openl3-{dimension}", openl3_backend="package"))
    other = build(RunConfig(encoder=f"openl3-{dimension}", openl3_backend="package", encoder_weights=str(given)))
    for encoder in (own, other):
        frames = encoder(np.zeros(96_000, np.float32))
        assert (frames.shape, frames.dtype) == ((encoder.frames(96_000), dimension), np.float32)
        assert encoder.spec.dimension == dimension
    assert own.spec.digest != other.spec.digest
    assert "0.4.2: mel256-music" in own.spec.note
    assert "mine.h5" in other.spec.note


def test_the_package_is_missed_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "openl3", None)
    with pytest.raises(InputError, match="pip install 'collab-asd"):
        build(RunConfig(encoder="openl3-512", openl3_backend="package"))
    with pytest.raises(InputError, match="kapre alone"):
        build(RunConfig(encoder="openl3-512", openl3_backend="package", frontend="legacy"))
