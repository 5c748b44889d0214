"""Models of `transformers` as encoders, on tiny ones of random weights that are built here."""

import sys

import numpy as np
import pytest
import torch

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.encoders import ENCODERS, build
from collab_asd.encoders.cache import EmbeddingCache

REVISION = "0123456789abcdef0123456789abcdef01234567"


def transformers():
    return pytest.importorskip("transformers", reason="transformers, an extra, is not installed")


@pytest.fixture
def spectrogram_model(tmp_path):
    """An Audio Spectrogram Transformer over 64 spectra of 16 bands."""
    library = transformers()
    torch.manual_seed(0)
    config = library.ASTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=64, num_mel_bins=16
    )
    library.ASTModel(config).save_pretrained(tmp_path / "ast")
    library.ASTFeatureExtractor(max_length=64, num_mel_bins=16).save_pretrained(tmp_path / "ast")
    return tmp_path / "ast"


@pytest.fixture
def waveform_model(tmp_path):
    """A Wav2Vec2 of one layer."""
    library = transformers()
    torch.manual_seed(0)
    config = library.Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2, num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    library.Wav2Vec2Model(config).save_pretrained(tmp_path / "wav2vec2")
    library.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "wav2vec2")
    return tmp_path / "wav2vec2"


@pytest.fixture(params=["rand_trunc", "fusion"])
def sound_and_text_model(request, tmp_path):
    """A CLAP of two layers, which takes inputs of a second; `fusion` is how its models for long recordings are fed."""
    library = transformers()
    torch.manual_seed(0)
    sound = {
        "hidden_size": 8, "patch_embeds_hidden_size": 4, "depths": [1, 1], "num_attention_heads": [2, 2],
        "num_hidden_layers": 2, "window_size": 2, "num_mel_bins": 16, "spec_size": 32, "patch_size": 4,
        "patch_stride": [4, 4], "enable_fusion": request.param == "fusion",
    }  # fmt: skip
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = library.ClapConfig(audio_config=sound, text_config={**text, "vocab_size": 20}, projection_dim=8)
    library.ClapModel(config).save_pretrained(tmp_path / "clap")
    library.ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, max_length_s=1, hop_length=250, fft_window_size=256, frequency_max=4000,
        truncation=request.param,
    ).save_pretrained(tmp_path / "clap")  # fmt: skip
    return tmp_path / "clap"


def noise(samples):
    return 0.1 * np.random.default_rng(0).standard_normal(samples, dtype=np.float32)


def test_a_model_over_spectra_has_the_window_of_its_extractor(spectrogram_model):
    name = f"hf:{spectrogram_model}"
    encoder = build(RunConfig(encoder=name))
    assert (encoder.spec.name, encoder.spec.sample_rate, encoder.spec.window) == (name, 16_000, 10_240)
    frames = encoder(noise(32_000))
    assert frames.shape == (encoder.frames(32_000), 8) == (5, 8)
    assert frames.shape[1] == ENCODERS.find(name).spec.dimension


def test_a_model_over_waveforms_gets_seconds(waveform_model):
    encoder = build(RunConfig(encoder=f"hf:{waveform_model}"))
    assert encoder(noise(32_000)).shape == (3, 8)


def test_a_frame_is_the_mean_of_the_hidden_states(waveform_model):
    library, sound = transformers(), noise(16_000)
    model = library.Wav2Vec2Model.from_pretrained(waveform_model).eval()
    extracted = library.Wav2Vec2FeatureExtractor.from_pretrained(waveform_model)(
        sound, sampling_rate=16_000, return_tensors="pt"
    )
    with torch.no_grad():
        expected = model(extracted.input_values).last_hidden_state.mean(1).numpy()
    found = build(RunConfig(encoder=f"hf:{waveform_model}")).encoder(sound)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_of_a_model_of_sound_and_text_the_part_for_sound_is_taken(sound_and_text_model):
    name, sound = f"hf:{sound_and_text_model}", noise(20_000)
    encoder = build(RunConfig(encoder=name)).encoder
    frames = encoder(sound)
    assert frames.shape == (4, encoder.spec.dimension) == (4, ENCODERS.find(name).spec.dimension)
    assert not any("text" in part for part, _ in encoder.network.named_modules())
    np.testing.assert_array_equal(frames, encoder(sound))
    np.testing.assert_allclose(frames[:1], encoder(sound[: encoder.spec.window]), atol=1e-4)
    assert np.abs(frames - encoder(sound[::-1].copy())).max() > 1e-3


def test_other_weights_are_another_encoder(waveform_model):
    name = f"hf:{waveform_model}"
    before = build(RunConfig(encoder=name)).spec.digest
    assert build(RunConfig(encoder=name)).spec.digest == before
    model = transformers().Wav2Vec2Model.from_pretrained(waveform_model)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.save_pretrained(waveform_model)
    assert build(RunConfig(encoder=name)).spec.digest != before


def test_the_cache_keeps_its_frames_in_one_folder(waveform_model, tmp_path):
    encoder, cache = build(RunConfig(encoder=f"hf:{waveform_model}")), EmbeddingCache(tmp_path / "cache")
    clip = Clip(tmp_path / "a.wav", "pump", "00", "train", None, "0" * 64)
    assert cache.path(encoder.spec, clip).relative_to(cache.folder).parts[1:] == ("00", f"{'0' * 64}-0.npy")


@pytest.mark.parametrize("named", ["no/model", "no/model@main", "org/model@" + REVISION[:-1], ""])
def test_a_name_without_a_whole_revision_is_refused(named):
    transformers()
    with pytest.raises(InputError, match="REVISION"):
        build(RunConfig(encoder=f"hf:{named}"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    transformers()
    with pytest.raises(InputError, match="cannot be loaded"):
        build(RunConfig(encoder=f"hf:{tmp_path}"))


def test_without_transformers_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"collab-asd\[hf\]"):
        build(RunConfig(encoder=f"hf:{tmp_path}"))
