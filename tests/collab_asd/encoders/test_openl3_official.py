"""OpenL3 with its real weights and beside its own package, for who has them.

    COLLAB_ASD_OPENL3_WEIGHTS=openl3_audio_mel256_music-v0_4_0.h5.gz COLLAB_ASD_OPENL3_DATA=openl3/tests/data \
        pytest tests/collab_asd/encoders/test_openl3_official.py

The data are those of a checkout of github.com/marl/openl3: a chirp and the embeddings that its authors got for it.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from collab_asd.data.resampling import resample
from collab_asd.encoders.openl3 import WEIGHTS, OpenL3

WANTED = {
    "COLLAB_ASD_OPENL3_WEIGHTS": f"{WEIGHTS['mel256-music'].filename} from {WEIGHTS['mel256-music'].url}",
    "COLLAB_ASD_OPENL3_DATA": "tests/data of a checkout of https://github.com/marl/openl3",
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


def test_the_package_gives_the_same(shared, write_h5, tmp_path):
    models = pytest.importorskip("openl3.models", reason="wants pip install collab-asd[openl3]")
    core = pytest.importorskip("openl3.core")
    checkpoint = write_h5("openl3_mel256.json", tmp_path / "openl3_audio_mel256_music.h5")
    with np.load(shared / "golden" / "openl3.npz") as golden:
        waveform = golden["wave48full_int16"].astype(np.float32) / 32768
    model = models.load_audio_embedding_model_from_path(str(checkpoint), "mel256", 512)
    expected, _ = core.get_audio_embedding(waveform, 48_000, model=model, hop_size=0.1, verbose=False)
    found = OpenL3(checkpoint, 512)(waveform)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5
