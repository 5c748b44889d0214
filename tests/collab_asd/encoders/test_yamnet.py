"""YAMNet against outputs of the TensorFlow original, both with pseudo-weights."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from collab_asd.core.errors import InputError
from collab_asd.encoders.checkpoints import read_layers
from collab_asd.encoders.yamnet import YamNet, mel_matrix


@pytest.fixture(scope="module")
def golden(shared: Path) -> Iterator[np.lib.npyio.NpzFile]:
    with np.load(shared / "golden" / "yamnet.npz") as arrays:
        yield arrays


@pytest.fixture(scope="module")
def checkpoint(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yamnet") / "yamnet.h5"
    folder = shared / "golden"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "dont_write_bytecode", True)
        spec = importlib.util.spec_from_file_location("make_checkpoints", folder / "make_checkpoints.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.write_h5(json.loads((folder / "yamnet.json").read_text()), str(path))
    return path


@pytest.fixture(scope="module")
def yamnet(checkpoint: Path) -> YamNet:
    return YamNet(checkpoint)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the expected maximum."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_mel_matrix_is_the_originals(golden):
    # The original is made in float32, which differs by 8e-6.
    np.testing.assert_allclose(mel_matrix(), golden["mel_matrix"], atol=1e-5)


def test_log_mel(yamnet, golden):
    padded = np.zeros(15_600 + 5 * 7_680, np.float32)
    padded[: len(golden["wave"])] = golden["wave"]
    np.testing.assert_allclose(yamnet.front_end(torch.from_numpy(padded)), golden["log_mel"], atol=1e-3)


def test_embeddings(yamnet, golden):
    assert relative_error(yamnet(golden["wave"]), golden["embeddings"]) < 1e-4


def test_silence(yamnet, golden):
    assert relative_error(yamnet(np.zeros(16_000, np.float32)), golden["silence1s_emb"]) < 1e-5


def test_clip_shorter_than_a_patch(yamnet, golden):
    assert relative_error(yamnet(golden["wave"][:4_000]), golden["short4000_emb"]) < 1e-4


def test_scores(yamnet, checkpoint, golden):
    kernel, bias = read_layers(checkpoint)[-1].weights
    scores = 1 / (1 + np.exp(-(yamnet(golden["wave"]) @ kernel + bias)))
    np.testing.assert_allclose(scores, golden["scores"], atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "convolution", "step"),
    [
        ("layer1_relu", 0, 1),
        ("layer2_pointwise_conv_relu", 2, 4),
        ("layer3_pointwise_conv_relu", 4, 1),
        ("layer7_pointwise_conv_relu", 12, 1),
        ("layer14_pointwise_conv_relu", 26, 1),
    ],
)
def test_layer_outputs(yamnet, golden, layer, convolution, step):
    patch = torch.from_numpy(golden["log_mel"][48 : 48 + 96])[None, None]
    backwards = yamnet.network[: 1 + convolution + 1](patch)
    channels_last = backwards.flip(2, 3)[0].permute(1, 2, 0).numpy()
    expected = golden[f"p1_{layer}"]
    assert relative_error(channels_last[::step, ::step][..., : expected.shape[2]], expected) < 1e-4


def test_framing(yamnet, golden):
    for samples, _, _, patches in golden["framing_table_nsamples_padded_frames_patches"]:
        assert yamnet.frames(int(samples)) == patches


def test_ten_seconds_are_20_frames_of_1024_dimensions(yamnet):
    assert yamnet.frames(160_000) == 20
    assert yamnet(np.zeros(160_000, np.float32)).shape == (20, 1024)


def test_specification(yamnet):
    spec = yamnet.spec
    assert (spec.name, spec.sample_rate, spec.window, spec.hop) == ("yamnet", 16_000, 15_600, 7_680)
    assert (spec.dimension, spec.stack, spec.stack_hop) == (1024, 8, 1)
    assert spec.note.endswith(": not the published file")
    assert str(Path.home()) not in spec.note


def test_reads_a_read_only_waveform_and_repeats_itself(yamnet, golden):
    waveform = golden["wave"].copy()
    waveform.flags.writeable = False
    np.testing.assert_array_equal(yamnet(waveform), yamnet(waveform))


def copy_of(checkpoint: Path, target: Path) -> h5py.File:
    target.write_bytes(checkpoint.read_bytes())
    return h5py.File(target, "r+")


def drop_last_layers(file: h5py.File, count: int) -> None:
    file.attrs["layer_names"] = file.attrs["layer_names"][:-count]


def test_digest_ignores_the_classifier(yamnet, checkpoint, tmp_path):
    with copy_of(checkpoint, tmp_path / "headless.h5") as file:
        drop_last_layers(file, 2)  # logits, predictions
    assert YamNet(tmp_path / "headless.h5").spec.digest == yamnet.spec.digest


def test_digest_knows_every_weight(yamnet, checkpoint, tmp_path):
    with copy_of(checkpoint, tmp_path / "other.h5") as file:
        file["layer14/pointwise_conv/bn/layer14/pointwise_conv/bn/beta:0"][7] += 1e-6
    assert YamNet(tmp_path / "other.h5").spec.digest != yamnet.spec.digest


def test_missing_layer_is_another_model(checkpoint, tmp_path):
    with copy_of(checkpoint, tmp_path / "short.h5") as file:
        drop_last_layers(file, 5)  # the last batch norm, its ReLU and the pooling too
    with pytest.raises(InputError, match=r"short\.h5: expected 54 layers with weights of YAMNet, found 53"):
        YamNet(tmp_path / "short.h5")


def test_other_shape_is_another_model(checkpoint, tmp_path):
    with copy_of(checkpoint, tmp_path / "wide.h5") as file:
        del file["layer1/conv/layer1/conv/kernel:0"]
        file["layer1/conv/layer1/conv/kernel:0"] = np.zeros((3, 3, 2, 32), np.float32)
    with pytest.raises(InputError, match=r"wide\.h5.*\(3, 3, 1, 32\).*'layer1/conv'.*found \[\(3, 3, 2, 32\)\]"):
        YamNet(tmp_path / "wide.h5")


def test_real_weights(shared):
    """Folded AudioSet weights without a classifier load, and a tone does not sound like silence."""
    yamnet = YamNet(shared / "weights" / "yamnet" / "yamnet_folded.h5")
    time = np.arange(16_000, dtype=np.float32) / 16_000
    tone, silence = yamnet(0.1 * np.sin(2 * np.pi * 440 * time)), yamnet(np.zeros_like(time))
    cosine = (tone[0] @ silence[0]) / np.linalg.norm(tone[0]) / np.linalg.norm(silence[0])
    assert tone.shape == (2, 1024)
    assert np.isfinite(tone).all()
    assert cosine < 0.9
