import numpy as np
import pytest

from collab_asd import encoders
from collab_asd.config import RunConfig
from collab_asd.core.types import EncoderSpec
from collab_asd.encoders import DerivedEncoder, remove_offset


class Samples:
    """The waveform itself, one sample to a frame; it follows from another of two samples."""

    spec = EncoderSpec("samples", 8000, 1, 1, 1, 1, 1, digest="a" * 64, note=f"digest {'a' * 12}")

    def frames(self, samples):
        return samples

    def __call__(self, waveform):
        return waveform[:, None]


class Halves(Samples):
    source = EncoderSpec("pairs", 8000, 1, 1, 2, 1, 1, digest="b" * 64)

    def derive(self, frames):
        return frames[:, :1]


def test_encoder_hears_the_clip_without_its_mean():
    frames = remove_offset(Samples())(np.array([0.5, 1.0, 1.5], np.float32))
    assert frames.tolist() == [[-0.5], [0.0], [0.5]]


def test_digest_and_note_are_others_and_all_else_is_the_same():
    before, after = Samples.spec, remove_offset(Samples()).spec
    assert after.digest != before.digest
    assert after.note == f"digest {after.digest[:12]}"
    assert (after.name, after.sample_rate, after.dimension) == (before.name, before.sample_rate, before.dimension)


def test_encoder_of_derived_frames_stays_one():
    derived = remove_offset(Halves())
    assert isinstance(derived, DerivedEncoder)
    assert not isinstance(remove_offset(Samples()), DerivedEncoder)
    assert derived.source.digest not in (Halves.source.digest, derived.spec.digest)
    assert derived.derive(np.array([[1.0, 2.0]], np.float32)).tolist() == [[1.0]]


@pytest.mark.parametrize("name", ["logmel", "random-conv", "waveform"])
def test_offset_changes_no_frames_of_a_run(name):
    encoder = encoders.build(RunConfig(encoder=name))
    waveform = np.random.default_rng(0).normal(0, 0.02, 16_384).astype(np.float32)
    np.testing.assert_allclose(encoder(waveform + np.float32(0.01)), encoder(waveform), atol=2e-4)
    assert np.abs(encoder.encoder(waveform + np.float32(0.01)) - encoder.encoder(waveform)).max() > 5e-3
