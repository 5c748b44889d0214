"""The heat map points at what was planted, and its numbers add up."""

import numpy as np
import pytest

from collab_asd.core.types import MachineFrames
from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.encoders.logmel import LogMel
from collab_asd.monitoring.explain import BANDS, COARSE, TIMES, explain

RATE, SAMPLES = 16_000, 32_000
BURSTS = [(3000, 4), (6800, 0), (1200, 5), (300, 2)]  # Hz, which sixth of the clip


def noise(seed, samples=SAMPLES):
    return (0.01 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def with_burst(waveform, hertz, sixth, loud=0.05):
    """Plant a tone in one sixth of a clip, faded in and out."""
    length = len(waveform) // TIMES
    burst = loud * np.hanning(length) * np.sin(2 * np.pi * hertz * np.arange(length) / RATE)
    planted = waveform.copy()
    planted[sixth * length : (sixth + 1) * length] += burst.astype(np.float32)
    return planted


def energy(waveform):
    return float(np.square(waveform.astype(np.float64)).sum())


def explained(score, *clips_and_how):
    return explain(lambda waveforms: np.array([score(waveform) for waveform in waveforms]), *clips_and_how)


def hottest(heat):
    """Where the hottest patch lies: from and to in Hz, from and to in s."""
    band, time = np.unravel_index(heat.values.argmax(), heat.values.shape)
    return *heat.edges_hz[band : band + 2], *heat.edges_s[time : time + 2]


def assert_points_at(heat, hertz, sixth):
    low, high, start, end = hottest(heat)
    middle = (sixth + 0.5) * SAMPLES / RATE / TIMES
    assert low <= hertz < high
    assert start < middle < end


@pytest.mark.parametrize(("hertz", "sixth"), BURSTS)
def test_the_hottest_patch_holds_the_burst_that_raised_the_energy(hertz, sixth):
    heat = explained(energy, with_burst(noise(0), hertz, sixth), noise(1), RATE)
    assert_points_at(heat, hertz, sixth)
    assert heat.values.max() > 0.5 * heat.values.clip(0).sum()  # and the other patches had little to do with it


@pytest.mark.parametrize(("hertz", "sixth"), BURSTS)
def test_the_hottest_patch_holds_the_burst_that_a_detector_heard(hertz, sixth):
    encoder = LogMel()
    normals = [encoder(noise(10 + i)) for i in range(6)]
    detector = Detector((Space.fit(MachineFrames(0, 0, normals), ScorerSettings("knn")),))

    def score(waveform):
        return detector.score(detector.embed(encoder(waveform)))

    assert_points_at(explained(score, with_burst(noise(0), hertz, sixth), noise(10), RATE), hertz, sixth)


def test_what_is_missing_is_found_as_well_as_what_is_too_much():
    """The normal machine gives a blow that this one does not; the score is the distance from the normal energy."""
    normal = with_burst(noise(1), 3000, 4)
    heat = explained(lambda waveform: abs(energy(waveform) - energy(normal)), noise(0), normal, RATE)
    assert_points_at(heat, 3000, 4)


def test_a_clip_against_itself_is_cold_everywhere():
    clip = with_burst(noise(0), 3000, 4)
    values = explained(energy, clip, clip, RATE).values
    assert np.abs(values).max() < 1e-6 * energy(clip)


@pytest.mark.parametrize("samples", [SAMPLES, 31_999, 20_000, 16_001])
@pytest.mark.parametrize("normal_samples", [SAMPLES, 7001, 40_000])
def test_patches_add_up_to_the_whole_difference(samples, normal_samples):
    """Under a linear score the patches, which tile the clip, make up all that it differs in from the normal clip.

    A normal clip that is shorter is repeated, one that is longer is cut.
    """
    clip, normal = noise(0, samples), noise(1, normal_samples)
    weights = np.random.default_rng(2).normal(size=samples)
    heat = explained(lambda waveform: float(weights @ waveform), clip, normal, RATE)
    repeated = np.concatenate([normal] * 5)[:samples]
    assert heat.values.sum() == pytest.approx(weights @ clip - weights @ repeated, rel=1e-3)


@pytest.mark.parametrize("rate", [16_000, 44_100, 8000])
def test_edges_cover_the_clip_and_all_it_can_hold(rate):
    heat = explained(energy, noise(0), noise(1), rate)
    assert heat.values.shape == (BANDS, TIMES) == (10, 6)
    assert (heat.edges_hz[0], heat.edges_hz[-1]) == pytest.approx((0, rate / 2))
    assert (heat.edges_s[0], heat.edges_s[-1]) == pytest.approx((0, SAMPLES / rate))
    np.testing.assert_allclose(np.diff(heat.edges_s), SAMPLES / rate / 6)
    mels = 2595 * np.log10(1 + heat.edges_hz / 700)  # O'Shaughnessy
    np.testing.assert_allclose(np.diff(mels), mels[-1] / 10)


def test_a_coarser_grid_explains_as_much_in_all():
    weights = np.random.default_rng(2).normal(size=SAMPLES)
    scores = []

    def score(waveform):
        scores.append(float(weights @ waveform))
        return scores[-1]

    coarse = explained(score, noise(0), noise(1), RATE, COARSE).values
    assert (coarse.shape, len(scores)) == ((5, 3), 16)
    assert coarse.sum() == pytest.approx(explained(score, noise(0), noise(1), RATE).values.sum(), rel=1e-3)


def test_the_clips_are_left_as_they_were():
    clip, normal = noise(0), noise(1)
    clip.flags.writeable = normal.flags.writeable = False
    explained(energy, clip, normal, RATE)
    np.testing.assert_array_equal(clip, noise(0))
