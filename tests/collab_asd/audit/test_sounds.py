import numpy as np
import pytest
import soundfile

from collab_asd.audit.observations import FeatureExtractor, as_numbers, pooled, tags_of
from collab_asd.audit.spectra import Timing
from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.audio import sha256_of
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.encoders.logmel import LogMel
from collab_asd.wire.codecs import parse


@pytest.fixture
def recording(tmp_path):
    """Makes a clip of noise of so many samples at 16 kHz."""

    def make(samples):
        path = tmp_path / f"{samples}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(samples), 16_000)
        return Clip(path, "fan", "00", "train", None, sha256_of(path))

    return make


def test_frames_of_a_row():
    assert [pooled(parse(text)) for text in ("fp32", "pca:4+int8", "pool:8+int8", "every:3")] == [1, 1, 8, 3]


def test_whole_rows_alone_are_looked_at(recording, tmp_path):
    ear = FeatureExtractor(EmbeddingCache(tmp_path / "cache"), Timing.of(LogMel().spec, 8), 8)
    codec = parse("pool:8").fit([])
    heard = ear.own(recording(1024 + 19 * 512), LogMel(), codec, {})  # 20 frames: two rows of 8, one of 4
    assert (heard.rows.shape, heard.spectra.shape) == ((2, 128), (2, 8 * 64))
    with pytest.raises(InputError, match=r"2000\.wav: shorter than one whole row of the codec \(8 frames\)"):
        ear.own(recording(2000), LogMel(), codec, {})


def test_tags_are_those_of_the_clips_conditions(recording, tmp_path):
    clip = recording(2000)
    assert tags_of(tmp_path, [clip]) == {clip: {}}
    (tmp_path / "metadata.csv").write_text("path,load,factory\n2000.wav,0.71,foundry\n")
    assert tags_of(tmp_path, [clip]) == {clip: {"factory": "foundry", "load": "high"}}


def test_names_of_centroids_are_looked_up_and_other_stored_numbers_are_left():
    rng = np.random.default_rng(0)
    clip = rng.normal(size=(40, 6)).astype(np.float32)
    for text in ("pq:3", "int8"):
        plan = parse(text)
        codec = plan.fit([plan.statistics([clip])])
        sent = codec.encode(clip)
        expected = codec.decode(sent, 40) if text == "pq:3" else sent.astype(np.float32)
        np.testing.assert_array_equal(as_numbers(codec.storing, sent), expected)
