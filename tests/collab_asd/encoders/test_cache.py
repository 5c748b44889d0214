import hashlib
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip, EncoderSpec, FloatArray
from collab_asd.encoders.cache import EmbeddingCache

RATE = 8_000


class Energies:
    """Mean square of each second in D dimensions, and a count of the clips that were encoded."""

    def __init__(self, digest: str = "d" * 64, dimension: int = 3) -> None:
        self.spec = EncoderSpec("energies", RATE, RATE, RATE, dimension, 1, 1, digest)
        self.calls = 0

    def frames(self, samples: int) -> int:
        return samples // RATE

    def __call__(self, waveform: FloatArray) -> FloatArray:
        self.calls += 1
        energies = np.square(waveform.reshape(-1, RATE)).mean(axis=1, keepdims=True)
        return np.repeat(energies, self.spec.dimension, axis=1).astype(np.float32)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """Two seconds, on the first channel of amplitude 0.5 and 0.25, on the second of twice that."""
    samples = np.repeat([[0.5, 1.0], [0.25, 0.5]], RATE, axis=0).astype(np.float32)
    path = tmp_path / "normal_id_00_00000000.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return Clip(path, "fan", "00", "train", 0, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache")


EXPECTED = np.array([[0.25] * 3, [0.0625] * 3], dtype=np.float32)


@pytest.mark.parametrize("mapped", [False, True])
def test_second_time_neither_decodes_nor_encodes(cache, clip, mapped):
    encoder = Energies()
    np.testing.assert_array_equal(cache.encode(encoder, clip, mapped=mapped), EXPECTED)
    clip.path.unlink()
    again = cache.encode(encoder, clip, mapped=mapped)
    np.testing.assert_array_equal(again, EXPECTED)
    assert again.dtype == np.float32
    assert encoder.calls == 1


class Doubled(Energies):
    """Twice the first dimension of `Energies`."""

    def __init__(self) -> None:
        super().__init__(digest="f" * 64, dimension=1)
        self.source = Energies().spec

    def derive(self, frames: FloatArray) -> FloatArray:
        return 2 * frames[:, :1]


def test_frames_that_follow_from_kept_ones_are_not_encoded(cache, clip):
    doubled = Doubled()
    cache.encode(Energies(), clip)
    clip.path.unlink()
    np.testing.assert_array_equal(cache.encode(doubled, clip), 2 * EXPECTED[:, :1])
    np.testing.assert_array_equal(cache.load(doubled.spec, clip), 2 * EXPECTED[:, :1])
    assert doubled.calls == 0


def test_frames_that_could_follow_are_encoded_where_there_are_none_to_follow_from(cache, clip):
    doubled = Doubled()
    np.testing.assert_array_equal(cache.encode(doubled, clip), EXPECTED[:, :1])
    assert doubled.calls == 1


def test_mapped_frames_are_read_only_others_are_fit_for_torch(cache, clip):
    cache.encode(Energies(), clip)
    assert not cache.encode(Energies(), clip, mapped=True).flags.writeable
    assert torch.from_numpy(cache.encode(Energies(), clip)).shape == (2, 3)


def test_stored_file_is_npy(cache, clip):
    cache.encode(Energies(), clip)
    np.testing.assert_array_equal(np.load(cache.path(Energies().spec, clip), allow_pickle=False), EXPECTED)


def test_column_major_frames(cache, clip):
    cache.store(Energies().spec, clip, np.asfortranarray([[1, 2, 3], [4, 5, 6]], dtype=np.float32))
    np.testing.assert_array_equal(cache.load(Energies().spec, clip), [[1, 2, 3], [4, 5, 6]])


def test_key_holds_encoder_clip_and_channel(cache, clip):
    cache.encode(Energies(), clip)
    assert cache.load(Energies(digest="e" * 64).spec, clip) is None
    assert cache.load(Energies().spec, replace(clip, sha256="0" * 64)) is None
    np.testing.assert_array_equal(cache.encode(Energies(), replace(clip, channel=1)), 4 * EXPECTED)
    np.testing.assert_array_equal(cache.encode(Energies(), clip), EXPECTED)


def truncate(content: bytes) -> bytes:
    return content[:-5]


def empty(content: bytes) -> bytes:
    return b""


def zeros(content: bytes) -> bytes:
    return bytes(len(content))


def flip_a_bit(content: bytes) -> bytes:
    return content[:130] + bytes([content[130] ^ 1]) + content[131:]


def lose_the_checksum(content: bytes) -> bytes:
    return content[:-32]


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("damage", [truncate, empty, zeros, flip_a_bit, lose_the_checksum])
def test_damaged_file_is_logged_and_computed_again(cache, clip, damage, mapped, caplog):
    encoder = Energies()
    cache.encode(encoder, clip)
    path = cache.path(encoder.spec, clip)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(cache.encode(encoder, clip, mapped=mapped), EXPECTED)
    assert str(path) in caplog.text
    assert encoder.calls == 2
    np.testing.assert_array_equal(cache.load(encoder.spec, clip), EXPECTED)


@pytest.mark.parametrize("content", [np.ones((2, 4)), np.ones(3), np.ones((2, 3, 1))])
def test_other_shape_is_not_used(cache, clip, content):
    cache.store(Energies().spec, clip, content)
    assert cache.load(Energies().spec, clip) is None


def test_clip_that_changed_since_it_was_listed(cache, clip):
    soundfile.write(clip.path, np.zeros(RATE), RATE)
    with pytest.raises(InputError, match="changed"):
        cache.encode(Energies(), clip)


def test_cache_folder_that_cannot_be_made(tmp_path, clip):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/cache: embeddings cannot be kept there .*cache-dir"):
        EmbeddingCache(tmp_path / "file" / "cache").encode(Energies(), clip)


def write_and_read(folder: Path, clip: Clip, times: int) -> int:
    """Store the same key again and again; return how many readings in between were whole."""
    cache, spec = EmbeddingCache(folder), Energies().spec
    whole = 0
    for _ in range(times):
        cache.store(spec, clip, EXPECTED)
        whole += np.array_equal(cache.load(spec, clip), EXPECTED)
    return whole


def test_two_processes_write_one_key(cache, clip):
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        counts = list(pool.map(write_and_read, [cache.folder] * 2, [clip] * 2, [200] * 2))
    assert counts == [200, 200]
    assert [p.name for p in cache.folder.rglob("*") if p.is_file()] == [f"{clip.sha256}-0.npy"]
