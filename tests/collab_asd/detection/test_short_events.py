"""A sound of half a second in a longer recording is noticed."""

from dataclasses import replace

import numpy as np
import pytest

from collab_asd.core.types import MachineFrames, SpaceScores
from collab_asd.detection.detector import Detector
from collab_asd.detection.scorers import OWN_SPECTRA, SHORT_EVENTS, fuse
from collab_asd.detection.scorers.gaussian import SpectrumScorer
from collab_asd.detection.second_order import SEGMENT, ClipSpectrum, summarize
from collab_asd.methods.embedding_sharing.algorithm import own_spaces

CLIPS, FRAMES = 30, 120


def recordings(seed, clips=CLIPS):
    """Log-mel frames of noise whose bands go together, as long as 3.8 s."""
    mixing = np.random.default_rng(0).normal(size=(128, 128)) / 8
    noise = np.random.default_rng(seed).normal(size=(clips, FRAMES, 128))
    return (noise @ mixing - 40).astype(np.float32)


def with_squeal(frames, start):
    changed = frames.copy()
    changed[start : start + SEGMENT, 60:63] += 6.0
    return changed


@pytest.fixture(scope="module")
def machine():
    normal = [summarize(clip) for clip in recordings(1)]
    frames = [clip[:1] for clip in normal]
    return MachineFrames(0, 0, frames, spectra=MachineFrames(0, 0, normal))


@pytest.fixture(scope="module")
def detector(machine):
    return Detector(own_spaces(machine, OWN_SPECTRA))


def scores(detector, clips):
    found = [summarize(clip) for clip in clips]
    return detector.scores([detector.embed(summary[:1], summary) for summary in found]).test


def test_a_summary_is_that_of_the_clip_and_then_of_segments_that_leave_nothing_out():
    frames = recordings(2, 1)[0]
    summary = summarize(frames)
    np.testing.assert_allclose(summary[0], frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(summary[1], np.diff(frames, axis=0).std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(summary[2], frames[:SEGMENT].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(summary[-1], frames[-SEGMENT:].mean(axis=0), rtol=1e-5)
    assert len(summary) == 2 + 14  # starts 0, 8, ... 104: 120 frames end with the last
    assert len(summarize(frames[:117])) == 2 + 14  # the last begins at 101
    assert len(summarize(frames[: SEGMENT - 3])) == 2 + 1


@pytest.mark.parametrize("samples", [1000, 1024, 1535, 1536, 8703, 8704, 12_800, 160_000])
def test_as_many_rows_as_announced(samples):
    announced = ClipSpectrum.frames(samples)
    if samples < 1024:
        assert announced == 0
    else:
        sound = np.random.default_rng(0).normal(size=samples).astype(np.float32)
        assert ClipSpectrum()(sound).shape == (announced, 128)


@pytest.mark.parametrize("start", [0, 37, 90, FRAMES - SEGMENT])
def test_half_a_second_anywhere_raises_the_score_above_all_normal_ones(detector, start):
    normal = recordings(3)
    without = Detector(tuple(space for space in detector.spaces if space.name != "segments"))
    squealing = [with_squeal(clip, start) for clip in normal]
    assert scores(detector, squealing).min() > detector.normal_scores.max()
    assert np.median(scores(without, squealing)) < without.normal_scores.max()


def test_a_score_of_short_events_counts_where_it_leads_by_a_deviation():
    normal = np.exp([-1.0, 1.0, -1.0, 1.0])  # mean 0 and deviation 1 as logarithms
    long = SpaceScores(normal, np.exp([0.0, 0.0, 3.0]))
    short = SpaceScores(normal, np.exp([0.5, 4.0, 3.5]), view=SHORT_EVENTS)
    fused = fuse([long, short], [0.0, 0.0])
    assert fused.test == pytest.approx([0.0, 3.0, 3.0])
    assert fused.normal == pytest.approx([-1.0, 1.0, -1.0, 1.0])
    assert fuse([long, short], [0.0, 4.0]).test == pytest.approx([0.0, 1.0, 3.0])  # with 4 clips half of 4, less 1
    assert fuse([long, replace(short, view="")], [0.0, 0.0]).test == pytest.approx([0.5, 4.0, 6.5])


def test_all_segments_of_a_clip_are_held_out_together():
    """A clip that is like no other scores high although its segments are like one another."""
    points = np.random.default_rng(0).normal(size=(12, 5, 4))
    points[7] += 50
    numbers = np.repeat(np.arange(12), 5)
    held_out = SpectrumScorer().held_out(points.reshape(60, 4), numbers).reshape(12, 5)
    assert held_out[7].min() > 10 * np.delete(held_out, 7, axis=0).max()
