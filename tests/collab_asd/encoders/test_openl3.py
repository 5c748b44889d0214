"""OpenL3 against outputs of the TensorFlow original, both with pseudo-weights."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from collab_asd.data.resampling import resample
from collab_asd.encoders.checkpoints import read_layers
from collab_asd.encoders.openl3 import OpenL3, encoder, front_end, network
from collab_asd.encoders.openl3.encoder import HOP, window_count
from collab_asd.encoders.openl3.front_end import DecibelMel, mel_matrix
from collab_asd.encoders.openl3.network import fold, long_embedding, short_embedding

WINDOW = 48_000


@pytest.fixture(scope="module")
def golden(shared: Path) -> Iterator[np.lib.npyio.NpzFile]:
    with np.load(shared / "golden" / "openl3.npz") as arrays:
        yield arrays


@pytest.fixture(scope="module")
def legacy_golden(shared: Path) -> Iterator[np.lib.npyio.NpzFile]:
    with np.load(shared / "golden" / "openl3_legacy.npz") as arrays:
        yield arrays


@pytest.fixture(scope="module")
def checkpoint(write_h5, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_h5("openl3_mel256.json", tmp_path_factory.mktemp("openl3") / "weights.h5")


@pytest.fixture(scope="module")
def openl3(checkpoint: Path) -> OpenL3:
    return OpenL3(checkpoint, 6144)


@pytest.fixture(scope="module")
def full48(golden) -> np.ndarray:
    """1.3 s at 48 kHz with a noise floor, so that rounding in empty bands does not show."""
    return golden["wave48full_int16"].astype(np.float32) / 32768


@pytest.fixture(scope="module")
def windows(full48) -> torch.Tensor:
    """The windows of that clip ``[9, 48000]``, laid out by hand."""
    padded = np.concatenate([np.zeros(24_000, np.float32), full48])
    return torch.from_numpy(padded).unfold(0, WINDOW, 4_800)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the expected maximum."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def relative_distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Euclidean length of the difference, relative to the expected one."""
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def test_mel_filters(golden, legacy_golden):
    np.testing.assert_allclose(
        mel_matrix(256, "slaney")[:, [0, 1, 2, 40, 120, 255]].T, golden["melfb_idx0_40"], atol=1e-9
    )
    np.testing.assert_allclose(mel_matrix(256, "slaney").sum(0), golden["melfb_rowsum"], atol=1e-7)
    np.testing.assert_allclose(mel_matrix(256, "htk").sum(0), legacy_golden["legacy_melfb_rowsum"], atol=1e-7)


def window_10(golden) -> torch.Tensor:
    """Window 10 of the resampled 16 kHz clip, ``[1, 48000]``: it begins at 1 s less the 0.5 s of centring."""
    return torch.from_numpy(golden["wave16_resampled48"][None, 24_000 : 24_000 + WINDOW])


def test_magnitudes(golden):
    transform = DecibelMel("kapre", 256)
    transform.matrix = torch.eye(1025)
    magnitude = transform.mel(window_10(golden))[0].numpy()
    assert relative_error(magnitude[[0, 100, 198]], golden["win10_mag_frames0_100_198"]) < 1e-6
    assert relative_error(magnitude[100], np.abs(golden["win10_stft_frame100"])) < 1e-6


def test_mel_magnitudes(golden):
    mel = DecibelMel("kapre", 256).mel(window_10(golden))[0].T.numpy()
    assert relative_error(mel, golden["win10_mel_linear"]) < 1e-6


def test_decibels(golden, legacy_golden, windows):
    for name, expected in (("kapre", golden["w48full_win8_db"]), ("legacy", legacy_golden["legacy_db_win8"])):
        np.testing.assert_allclose(DecibelMel(name, 256)(windows[8:])[0, 0], expected, atol=1e-3)


def test_decibels_of_128_bands(golden):
    decibels = DecibelMel("kapre", 128)(torch.from_numpy(golden["wave48"])[None])[0, 0].numpy()
    heard = golden["mel128_w48_db"] > -50
    np.testing.assert_allclose(decibels[heard], golden["mel128_w48_db"][heard], atol=1e-2)


def test_decibels_of_a_band_limited_clip(golden):
    """Below -50 dB are bins that hold nothing but the rounding of the Fourier transform."""
    decibels, expected = DecibelMel("kapre", 256)(window_10(golden))[0, 0].numpy(), golden["win_db"][2]
    np.testing.assert_allclose(decibels[expected > -50], expected[expected > -50], atol=1e-2)


@torch.inference_mode()
def test_network_on_the_originals_decibels(openl3, golden):
    long = long_embedding(openl3.network(torch.from_numpy(golden["win_db"])[:, None]))
    assert relative_error(long.numpy(), golden["w16_center_hop0.1_emb6144"][golden["win_idx"]]) < 1e-5
    assert relative_error(short_embedding(long).numpy(), golden["w16_center_hop0.1_emb512"][golden["win_idx"]]) < 1e-5


@pytest.mark.parametrize(
    ("name", "modules", "step"),
    [
        ("bn0", 1, (8, 8, 1)),
        ("block1_s", 3, (8, 8, 1)),
        ("block2_s", 5, (8, 8, 1)),
        ("block3_s", 7, (4, 4, 1)),
        ("map_s", 9, (2, 2, 8)),
    ],
)
@torch.inference_mode()
def test_layer_outputs(openl3, golden, name, modules, step):
    maps = openl3.network[:modules](torch.from_numpy(golden["win_db"][2])[None, None])
    channels_last = maps[0].permute(1, 2, 0).numpy()[:: step[0], :: step[1], :: step[2]]
    expected = golden[f"w10_{name}"]
    assert relative_error(channels_last.reshape(expected.shape), expected) < 1e-5


@torch.inference_mode()
def test_convolution_without_batch_norm(openl3, checkpoint, golden):
    normalised = openl3.network[0](torch.from_numpy(golden["win_db"][2])[None, None])
    maps = torch.conv2d(normalised, *fold(read_layers(checkpoint)[1], None), padding=1)
    assert relative_error(maps[0].permute(1, 2, 0).numpy()[::16, ::16], golden["w10_conv1_s"]) < 1e-5


@pytest.mark.parametrize("clip", ["w16_center_hop0.1", "w48full_center_hop0.1", "w48_nocenter"])
def test_short_embedding_is_the_maximum_of_the_long_one(golden, clip):
    long = torch.from_numpy(golden[f"{clip}_emb6144"])
    np.testing.assert_array_equal(short_embedding(long), golden[f"{clip}_emb512"])


def test_clip_with_a_noise_floor(openl3, full48, golden):
    assert relative_error(openl3(full48), golden["w48full_center_hop0.1_emb6144"]) < 1e-5


def test_legacy_front_end(checkpoint, full48, legacy_golden):
    assert (
        relative_error(OpenL3(checkpoint, 6144, front_end="legacy")(full48), legacy_golden["legacy_w48full_emb6144"])
        < 1e-5
    )


def test_clip_of_16_khz(openl3, golden):
    """What lies above 8 kHz is rounding noise, which differs between Fourier transforms by half a percent."""
    waveform = resample(golden["wave16"], 16_000, 48_000)
    assert relative_distance(openl3(waveform), golden["w16_center_hop0.1_emb6144"]) < 1e-2


@torch.inference_mode()
def test_windows_every_half_second_without_centring(openl3, golden):
    padded = np.zeros(WINDOW + 3 * 24_000, np.float32)
    padded[:120_000] = golden["wave16_resampled48"]
    long = openl3.embed(torch.from_numpy(padded).unfold(0, WINDOW, 24_000))
    assert relative_distance(short_embedding(long).numpy(), golden["w16_nocenter_hop0.5_emb512"]) < 1e-2


@torch.inference_mode()
def test_one_window(openl3, golden):
    long = openl3.embed(torch.from_numpy(golden["wave48"])[None])
    assert relative_distance(long.numpy(), golden["w48_nocenter_emb6144"]) < 1e-3
    assert relative_distance(short_embedding(long).numpy(), golden["w48_nocenter_emb512"]) < 1e-3


@torch.inference_mode()
def test_128_bands(checkpoint, golden):
    long = OpenL3(checkpoint, 6144, "mel128-music").embed(torch.from_numpy(golden["wave48"])[None])
    assert relative_distance(long.numpy(), golden["mel128_w48_emb6144"]) < 1e-3
    assert relative_distance(short_embedding(long).numpy(), golden["mel128_w48_emb512"]) < 1e-3


@torch.inference_mode()
def test_silence(openl3, golden):
    long = openl3.embed(torch.zeros(1, WINDOW))
    assert relative_error(short_embedding(long).numpy(), golden["silence1s_emb512"]) < 1e-5


def test_clip_shorter_than_a_window_is_padded_and_says_so(checkpoint, golden, caplog):
    with caplog.at_level(logging.WARNING):
        short = OpenL3(checkpoint, 512)(golden["wave48"][:20_000])
    assert relative_distance(short, golden["short20000_center_emb512"]) < 1e-3
    assert "A clip of 0.42 s is shorter than a window of 1 s: zeros fill it up" in caplog.text


@torch.inference_mode()
def embed_two(openl3: OpenL3, windows: torch.Tensor) -> np.ndarray:
    """Windows 4 and 8 of the clip with a noise floor, embedded in one batch."""
    return openl3.embed(windows[[4, 8]]).numpy()


def test_nothing_is_mutated(openl3, windows, golden):
    assert relative_error(embed_two(openl3, windows), golden["w48full_center_hop0.1_emb6144"][[4, 8]]) < 1e-5


def symmetric_hann(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(front_end, "hann_window", lambda: torch.hann_window(2048, periodic=False))


def maximum_of_the_batch(patch: pytest.MonkeyPatch) -> None:
    def forward(self: DecibelMel, windows: torch.Tensor) -> torch.Tensor:
        decibels = 10.0 * torch.log10(self.mel(windows).clamp_min(1e-10))
        return (decibels - decibels.max()).clamp_min(-80.0).transpose(1, 2)[:, None]

    patch.setattr(DecibelMel, "forward", forward)


def epsilon_of_torch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(network, "BATCH_NORM_EPSILON", 1e-5)


def centred_spectra(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(front_end.RECIPES, "kapre", front_end.Recipe((1024, 940), "slaney", 1))


def channels_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(encoder, "long_embedding", lambda maps: torch.max_pool2d(maps, 8).flatten(1))


def legacy_spectra(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(front_end.RECIPES, "kapre", front_end.RECIPES["legacy"])


@pytest.mark.parametrize(
    "mutate",
    [symmetric_hann, maximum_of_the_batch, epsilon_of_torch, centred_spectra, channels_first, legacy_spectra],
)
def test_a_mistake_would_be_noticed(checkpoint, windows, golden, monkeypatch, mutate):
    mutate(monkeypatch)
    found = embed_two(OpenL3(checkpoint, 6144), windows)
    assert relative_error(found, golden["w48full_center_hop0.1_emb6144"][[4, 8]]) > 1e-4


def test_window_count(golden):
    for samples, centred, hop, windows in golden["frame_table"]:
        assert window_count(int(samples) + 24_000 * int(centred), int(float(hop) * 48_000)) == windows


def test_frames_are_a_tenth_of_a_second_apart(golden):
    for clip, samples in (("w16", 120_000), ("w48full", 62_400)):
        count = window_count(samples + 24_000, HOP)
        np.testing.assert_allclose(np.arange(count) * HOP / 48_000, golden[f"{clip}_center_hop0.1_ts"])


def test_ten_seconds_are_96_frames(openl3):
    assert openl3.frames(480_000) == 96


def test_specification(checkpoint):
    spec = OpenL3(checkpoint, 512, front_end="legacy").spec
    assert (spec.name, spec.sample_rate, spec.window, spec.hop) == ("openl3-512", 48_000, 48_000, 4_800)
    assert (spec.dimension, spec.stack, spec.stack_hop) == (512, 32, 4)
    assert "mel256-music" in spec.note
    assert "legacy" in spec.note
    assert spec.note.endswith(": not verified, since no hash of the published file is known")


def test_digests_tell_encoders_apart(checkpoint):
    variants = [(512, "mel256-music", "kapre"), (6144, "mel256-music", "kapre"), (512, "mel256-music", "legacy")]
    specs = [OpenL3(checkpoint, *variant).spec for variant in [*variants, (512, "mel128-music", "kapre")]]
    assert len({spec.digest for spec in specs}) == 4
    assert OpenL3(checkpoint, 512).source == specs[1]


def test_reads_a_read_only_waveform_and_repeats_itself(checkpoint, full48):
    openl3, waveform = OpenL3(checkpoint, 512), full48[:30_000].copy()
    waveform.flags.writeable = False
    np.testing.assert_array_equal(openl3(waveform), openl3(waveform))


def test_frames_of_512_follow_from_those_of_6144(openl3, checkpoint, full48):
    short = OpenL3(checkpoint, 512)
    np.testing.assert_array_equal(short.derive(openl3(full48[:30_000])), short(full48[:30_000]))


def test_in_bf16_a_frame_is_near_the_one_in_fp32_and_depends_on_its_window_alone(checkpoint, openl3, full48):
    reduced, sound = OpenL3(checkpoint, 512).to("cpu", "bf16"), full48[:33_600]
    together = reduced(sound)
    assert together.shape == (3, 512)
    assert relative_error(together, openl3(sound).reshape(3, -1, 512).max(axis=1)) < 0.05
    with torch.inference_mode():
        alone = torch.cat([reduced.embed(window[None]) for window in reduced.windows(torch.from_numpy(sound))])
    assert relative_error(together, alone.numpy()) < 1e-3
