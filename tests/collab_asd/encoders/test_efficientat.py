"""EfficientAT with its real weights, on real recordings; there is no reference output, but it names what it hears."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.data.audio import at_rate, read_audio
from collab_asd.encoders import build
from collab_asd.encoders.checkpoints import read_tensors
from collab_asd.encoders.efficientat import EfficientAt, LogMel, expected_shapes

# Numbers of AudioSet classes.
VEHICLES = {300, 307, 339, 343}  # vehicle, car, helicopter, engine
RAILWAYS = {328, 329}  # rail transport, train
TICKS = {407, 408}  # tick, tick-tock


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights" / "efficientat" / "mn04_as_mAP_432.pt"


@pytest.fixture(scope="module")
def encoder(weights: Path) -> EfficientAt:
    return EfficientAt(weights)


@pytest.fixture(scope="module")
def pooled(weights: Path) -> EfficientAt:
    return EfficientAt(weights, pooled=True)


def recording(shared: Path, name: str) -> np.ndarray:
    path = shared / "data" / "dcase2020_samples" / name
    return at_rate(read_audio(path, 0), 32_000, path)


def noise(samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(samples, dtype=np.float32)


def test_log_mel_of_silence():
    """(ln 1e-5 + 4.5) / 5."""
    np.testing.assert_allclose(LogMel()(torch.zeros(3_200)), -1.4025851, rtol=1e-6)


def test_log_mel_has_a_spectrum_every_10_ms():
    assert LogMel()(torch.zeros(320_000)).shape == (128, 1_000)


def test_window_is_symmetric():
    expected = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799)
    np.testing.assert_allclose(LogMel().window, expected, atol=1e-6)


def test_log_mel_of_a_tone():
    """Pre-emphasis leaves |1 - 0.97 exp(-iw)| of a tone, the window's sum is 400 - 1/2, and a full filter is 1 high."""
    mel_step = 1127 * np.log1p(15_000 / 700) / 129
    hertz = 700 * np.expm1(mel_step * 81 / 1127)  # the centre of filter 80
    hertz = round(hertz / 31.25) * 31.25  # of the bin next to it
    time = np.arange(32_000) / 32_000
    spectra = LogMel()(torch.from_numpy(np.sin(2 * np.pi * hertz * time).astype(np.float32)))
    angle = 2 * np.pi * hertz / 32_000
    peak = (399.5 / 2) ** 2 * abs(1 - 0.97 * np.exp(-1j * angle)) ** 2
    norm_ratio = spectra[:, 50].argmax()
    assert norm_ratio == 80
    # A filter here is several bins wide and adds up to what the window's main lobe holds: between 1 and 2 peaks.
    assert (np.log(peak) + 4.5) / 5 < spectra[80, 50] < (np.log(2 * peak) + 4.5) / 5


@pytest.mark.parametrize(
    ("name", "classes", "share"),
    [
        ("ToyCar/test/normal_id_04_00000006.wav", VEHICLES, 0.2),
        ("ToyConveyor/test/normal_id_01_00000336.wav", RAILWAYS, 0.4),
        ("valve/test/normal_id_06_00000097.wav", TICKS, 0.5),
    ],
)
def test_classes_of_real_recordings(encoder, weights, shared, name, classes, share):
    """The classifier that is left out hears a vehicle, a train and ticks."""
    tensors = read_tensors(weights)
    with torch.inference_mode():
        x = encoder.maps(torch.from_numpy(recording(shared, name))[None])[0].mean((1, 2))
        x = F.hardswish(F.linear(x, tensors["classifier.2.weight"], tensors["classifier.2.bias"]))
        scores = F.linear(x, tensors["classifier.5.weight"], tensors["classifier.5.bias"]).sigmoid()
    assert int(scores.argmax()) in classes
    assert scores.max() > share


def test_pooled_is_the_mean_over_the_bands(encoder, pooled):
    waveform = noise(100_000)
    bands = encoder(waveform).reshape(-1, 4, 384)
    np.testing.assert_allclose(pooled(waveform), bands.mean(1), atol=1e-6)


def test_low_bands_come_first(encoder):
    """A tone changes the band that it is in most."""
    time = np.arange(64_000, dtype=np.float32) / 32_000
    silence = encoder(np.zeros_like(time)).reshape(-1, 4, 384)
    for hertz, band in ((200, 0), (8_000, 3)):
        tone = encoder(np.sin(2 * np.pi * hertz * time) * np.float32(0.1)).reshape(-1, 4, 384)
        assert np.abs(tone - silence).sum((0, 2)).argmax() == band


def test_specification(encoder, pooled):
    spec = encoder.spec
    assert (spec.name, spec.sample_rate, spec.hop, spec.dimension) == ("efficientat", 32_000, 10_240, 1_536)
    assert (spec.stack, spec.stack_hop) == (1, 1)
    assert (pooled.spec.name, pooled.spec.dimension) == ("efficientat-pooled", 384)
    assert spec.digest != pooled.spec.digest
    assert spec.note == f"weights from mn04_as_mAP_432.pt, digest {spec.digest[:12]}"


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (2_048, 1), (10_240, 1), (10_241, 2), (320_000, 32)])
def test_framing(encoder, samples, frames):
    assert encoder.frames(samples) == frames
    assert encoder(noise(samples)).shape == (frames, 1_536)


def test_short_clip_is_filled_up_with_zeros_and_says_so(encoder, caplog):
    filled = np.concatenate([noise(500), np.zeros(1_548, np.float32)])
    with caplog.at_level(logging.WARNING):
        found = encoder(noise(500))
    assert "500 samples is too short" in caplog.text
    np.testing.assert_array_equal(found, encoder(filled))


def test_reads_a_read_only_waveform_and_repeats_itself(encoder):
    waveform = noise(50_000)
    waveform.flags.writeable = False
    np.testing.assert_array_equal(encoder(waveform), encoder(waveform))


@pytest.mark.parametrize("name", ["efficientat", "efficientat-pooled"])
def test_is_built_by_name(weights, name):
    assert build(RunConfig(encoder=name, encoder_weights=str(weights))).spec.name == name


def test_other_width_is_another_model(tmp_path):
    wide = {name: torch.zeros(shape) for name, shape in expected_shapes().items()}
    wide["features.0.0.weight"] = torch.zeros(16, 1, 3, 3)
    torch.save(wide, tmp_path / "mn10.pt")
    with pytest.raises(InputError, match=r"mn10\.pt: .*'features\.0\.0\.weight' .*found one of \[16, 1, 3, 3\]"):
        EfficientAt(tmp_path / "mn10.pt")
