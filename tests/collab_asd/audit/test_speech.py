import numpy as np
import pytest
import soundfile

from collab_asd.audit.probes import mixed
from collab_asd.core.types import Clip
from collab_asd.data.audio import load_waveform, sha256_of


@pytest.mark.parametrize("loudness", [6.0, 0.0, -12.0])
def test_speech_is_so_loud_beside_the_machine(tmp_path, loudness):
    path = tmp_path / "machine.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(48_000), 16_000)
    clip = Clip(path, "fan", "00", "train", None, sha256_of(path))
    machine = load_waveform(clip, 16_000).astype(np.float64)
    speech = mixed(clip, 16_000, loudness) - machine
    assert 10 * np.log10(np.mean(speech**2) / np.mean(machine**2)) == pytest.approx(loudness, abs=0.01)
    np.testing.assert_array_equal(mixed(clip, 16_000, loudness), mixed(clip, 16_000, loudness))
