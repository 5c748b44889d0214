"""Frames of PANNs: which windows, how they are computed together, and which files are refused."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from collab_asd.core.errors import InputError
from collab_asd.encoders.checkpoints import read_tensors
from collab_asd.encoders.panns import Panns

TOLERANCE = 1e-5  # of a reference output's maximum


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the expected maximum."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_a_window_has_a_length_that_both_branches_agree_in(panns):
    assert panns.spec.window % 640 == 0


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(1, 1), (31_999, 1), (32_000, 1), (35_200, 1), (35_201, 2), (38_400, 2), (320_000, 90), (352_000, 100)],
)
def test_framing(panns, samples, frames):
    assert panns.frames(samples) == frames


def test_frames_are_windows_every_tenth_of_a_second(panns, panns_clip, panns_golden):
    frames = panns(panns_clip[: 3 * 3_200 + 32_000])
    assert frames.shape == (3, 2048)
    assert frames.dtype == np.float32
    assert relative_error(frames[:2], panns_golden["seg1s_embedding"][:2]) < TOLERANCE  # at samples 0 and 3200


@pytest.mark.parametrize("samples", [32_000, 35_201, 35_200 + 32 * 3_200])
def test_sharing_between_windows_changes_nothing(panns, panns_clip, samples):
    """33 windows are more than a batch."""
    part = torch.from_numpy(panns_clip[:samples])
    windows = part.unfold(0, 32_000, 3_200)[: panns.frames(samples)]
    with torch.inference_mode():
        one_by_one = torch.cat([panns.network(window[None]) for window in windows]).numpy()
    assert relative_error(panns(part.numpy()), one_by_one) < TOLERANCE / 5


def test_short_clip_is_filled_up_with_zeros_and_says_so(panns, panns_clip, caplog):
    filled = np.concatenate([panns_clip[:8_000], np.zeros(24_000, np.float32)])
    with caplog.at_level(logging.WARNING):
        found = panns(panns_clip[:8_000])
    assert "0.25 s is shorter than a window of PANNs" in caplog.text
    assert relative_error(found, panns(filled)) < TOLERANCE


def test_specification(panns):
    spec = panns.spec
    assert (spec.name, spec.sample_rate, spec.window, spec.hop) == ("panns", 32_000, 32_000, 3_200)
    assert (spec.dimension, spec.stack, spec.stack_hop) == (2048, 32, 4)
    assert spec.note.endswith(": not the published file")
    assert str(Path.home()) not in spec.note


def test_reads_a_read_only_waveform_and_repeats_itself(panns, panns_clip):
    waveform = panns_clip[:36_000].copy()
    waveform.flags.writeable = False
    np.testing.assert_array_equal(panns(waveform), panns(waveform))


def test_checkpoint_with_the_state_of_a_sampler(panns, write_panns, tmp_path):
    path = tmp_path / "panns.legacy.pth"
    write_panns(path)
    try:
        assert Panns(path).spec.digest == panns.spec.digest
    finally:
        path.unlink()


def test_other_model(panns_checkpoint, tmp_path):
    small = {name: tensor for name, tensor in read_tensors(panns_checkpoint).items() if tensor.numel() < 50_000}
    cnn14 = {name: tensor for name, tensor in small.items() if not name.startswith("pre_")}
    torch.save({"model": cnn14}, tmp_path / "cnn14.pth")
    with pytest.raises(InputError, match=r"cnn14\.pth: .*'pre_conv0\.weight' .*found no such name.*another model"):
        Panns(tmp_path / "cnn14.pth")
