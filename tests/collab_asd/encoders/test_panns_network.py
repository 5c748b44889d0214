"""The network of PANNs against outputs of the official code, both with pseudo-weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from collab_asd.encoders.checkpoints import Tensors, read_tensors
from collab_asd.encoders.panns import Panns, as_maps, expected_shapes, ignored_shapes

TOLERANCE = 1e-5  # of a reference output's maximum
LOG_MEL_TOLERANCE = 2e-2  # dB; in nearly silent bands the reference differs from itself by 0.013 between FFTs


@pytest.fixture(scope="module")
def tensors(panns_checkpoint: Path) -> Tensors:
    return read_tensors(panns_checkpoint)


@pytest.fixture(scope="module")
def segments(panns_golden, panns_clip) -> Tensor:
    return torch.from_numpy(
        np.stack([panns_clip[start : start + 32_000] for start in panns_golden["seg_starts_samples"]])
    )


@pytest.fixture(scope="module")
def steps(panns, segments, panns_golden) -> dict[str, np.ndarray]:
    """What each part of the network gives for segment 2, the log-mel branch from the reference's spectrogram."""
    network, segment, found = panns.network, segments[2:3], {}
    with torch.inference_mode():
        found["power"] = network.log_mel.power(segment)
        found["bn0"] = network.normalise(torch.from_numpy(panns_golden["s2_logmel"])[None]).transpose(1, 2)
        x = found["pre_conv0"] = network.wavegram.pre_conv0(segment[:, None, :, None])
        for i, block in enumerate(network.wavegram.pre_blocks, 1):
            x = found[f"pre_block{i}"] = block(x)
        x = found["wavegram_in"] = as_maps(x)
        wavegram = found["pre_block4"] = network.wavegram.pre_block4(x)
        x = found["conv_block1"] = network.conv_block1(found["bn0"].transpose(1, 2)[:, None])
        x = found["cat"] = torch.cat((x, wavegram), 1)
        for i, block in enumerate((network.conv_block2, *network.trunk), 2):
            x = found[f"conv_block{i}"] = block(x)
    return {name: value[0].squeeze(-1 if value.shape[-1] == 1 else ()).numpy() for name, value in found.items()}


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the expected maximum."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@torch.inference_mode()
def embed(panns: Panns, windows: Tensor) -> np.ndarray:
    return panns.network(windows).numpy()


def scores(tensors: Tensors, embedding: np.ndarray) -> np.ndarray:
    logits = embedding @ tensors["fc_audioset.weight"].numpy().T + tensors["fc_audioset.bias"].numpy()
    return 1 / (1 + np.exp(-logits))


def test_mel_matrix(tensors, panns_golden):
    matrix = tensors["logmel_extractor.melW"].numpy()
    np.testing.assert_allclose(matrix[:, [0, 20, 63]], panns_golden["melW_cols0_20_63"], atol=1e-8)
    np.testing.assert_allclose(matrix.sum(0), panns_golden["melW_sums"], atol=1e-6)


def test_log_mel(panns, segments, panns_golden):
    with torch.inference_mode():
        log_mel = panns.network.log_mel(segments).numpy()
    for i in (0, 2):
        np.testing.assert_allclose(log_mel[i], panns_golden[f"s{i}_logmel"], atol=LOG_MEL_TOLERANCE)


def test_log_mel_of_the_whole_clip(panns, panns_clip, panns_golden):
    log_mel = panns.network.log_mel(torch.from_numpy(panns_clip)[None])[0].numpy()
    np.testing.assert_allclose(log_mel[::50], panns_golden["clip10s_logmel_every50"], atol=LOG_MEL_TOLERANCE)
    assert_stats(log_mel, panns_golden["clip10s_logmel_stats"], LOG_MEL_TOLERANCE)


def test_power_spectra(steps, panns_golden):
    assert relative_error(steps["power"][[0, 50, 100]], panns_golden["s2_power_frames0_50_100"]) < TOLERANCE


def test_normalised_log_mel(steps, panns_golden):
    assert relative_error(steps["bn0"][:, ::5], panns_golden["s2_bn0_out_mel_first"]) < TOLERANCE


def test_first_convolution(steps, tensors, panns_golden):
    """The reference is before batch norm and ReLU, which are part of the convolution here."""
    gain, offset, mean, variance = (
        tensors[f"pre_bn0.{part}"][::4, None].numpy() for part in ("weight", "bias", "running_mean", "running_var")
    )
    expected = np.maximum(0, (panns_golden["s2_pre_conv0"] - mean) / np.sqrt(variance + 1e-5) * gain + offset)
    assert relative_error(steps["pre_conv0"][::4, ::64], expected) < TOLERANCE


@pytest.mark.parametrize(
    ("part", "steps_of_axes"),
    [
        ("pre_block1", (1, 32)),
        ("pre_block2", (1, 8)),
        ("pre_block3", (1, 1)),
        ("wavegram_in", (1, 4)),
        ("pre_block4", (4, 4)),
        ("conv_block1", (4, 4)),
        ("conv_block2", (8, 2)),
        ("conv_block4", (8, 1)),
        ("conv_block6", (1, 1)),
    ],
)
def test_parts(steps, panns_golden, part, steps_of_axes):
    channels, time = steps_of_axes
    assert relative_error(steps[part][::channels, ::time], panns_golden[f"s2_{part}"]) < TOLERANCE


@pytest.mark.parametrize(
    "part",
    ["bn0", "cat", "wavegram_in", *(f"pre_block{i}" for i in range(1, 5)), *(f"conv_block{i}" for i in range(1, 7))],
)
def test_statistics_of_whole_maps(steps, panns_golden, part):
    assert_stats(steps[part], panns_golden[f"s2_{part}_stats"])


def assert_stats(found: np.ndarray, expected: np.ndarray, atol: float = 1e-4) -> None:
    x = found.astype(np.float64)
    np.testing.assert_allclose([x.mean(), x.std(), x.min(), x.max(), np.abs(x).sum()], expected, rtol=1e-4, atol=atol)


def test_pooled(steps, panns_golden):
    bands = steps["conv_block6"].mean(2)
    assert relative_error(bands.max(1) + bands.mean(1), panns_golden["s2_pooled"]) < TOLERANCE


def test_embeddings_of_windows(panns, segments, tensors, panns_golden):
    embeddings = embed(panns, segments)
    assert relative_error(embeddings, panns_golden["seg1s_embedding"]) < TOLERANCE
    np.testing.assert_allclose(scores(tensors, embeddings), panns_golden["seg1s_clipwise_output"], atol=TOLERANCE)


def test_embedding_of_the_whole_clip(panns, panns_clip, tensors, panns_golden):
    embedding = embed(panns, torch.from_numpy(panns_clip)[None])
    assert relative_error(embedding[0], panns_golden["clip10s_embedding"]) < TOLERANCE
    np.testing.assert_allclose(scores(tensors, embedding)[0], panns_golden["clip10s_clipwise_output"], atol=TOLERANCE)


def test_map_of_the_whole_clip(panns, panns_clip, panns_golden):
    with torch.inference_mode():
        found = panns.network.maps(torch.from_numpy(panns_clip)[None]).numpy()
    assert found.shape == tuple(panns_golden["clip10s_map_shape"])
    assert relative_error(found[0, ::16], panns_golden["clip10s_map"]) < TOLERANCE
    assert relative_error(found[0].mean((1, 2)), panns_golden["clip10s_map_chanmean"]) < TOLERANCE
    assert_stats(found, panns_golden["clip10s_map_stats"])


def test_silence(panns, panns_golden):
    assert relative_error(embed(panns, torch.zeros(1, 32_000))[0], panns_golden["silence1s_embedding"]) < TOLERANCE


def test_lengths_that_the_branches_agree_in(panns, panns_golden):
    """The official network raises for other lengths, and so does this one."""
    for samples, fits, _, _ in panns_golden["length_ok_table"]:
        windows = torch.zeros(1, int(samples))
        if fits:
            assert embed(panns, windows).shape == (1, 2048)
        else:
            with pytest.raises(RuntimeError):
                embed(panns, windows)


def test_names_and_shapes_of_the_official_checkpoint(shared):
    listed = json.loads((shared / "golden" / "panns_wavegram_logmel_cnn14.json").read_text())["tensors"]
    known = expected_shapes() | ignored_shapes()
    assert known == {name: tuple(shape) for name, shape in listed.items() if not name.endswith("num_batches_tracked")}
