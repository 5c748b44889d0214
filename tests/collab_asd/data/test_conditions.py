"""Other microphones, noises and neighbours: what a recording becomes, and which machines and clips have the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip, RecordingConditions
from collab_asd.data.audio import load_waveform, sha256_of
from collab_asd.data.conditions import conditions, draw, record
from collab_asd.data.manifest import manifest_rows
from collab_asd.data.run_data import load_partitions
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.encoders.logmel import LogMel

RATE, AS_IT_WAS = 16_000, RecordingConditions((0.0,) * 9, 0.0, 0.0, 0.0, 0.0, 1)
ALL = "response-3+gain-6+noise-10+interference-10"


def tone(frequency, seconds=1.0, rate=RATE):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def rms(sound):
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_gain_and_a_flat_response_are_factors(rate):
    sound = tone(440, rate=rate)
    louder = record(sound, rate, replace(AS_IT_WAS, gain=20.0), "clip")
    np.testing.assert_allclose(louder, 10 * sound, rtol=1e-5)
    flat = record(sound, rate, replace(AS_IT_WAS, response=(-20.0,) * 9), "clip")
    np.testing.assert_allclose(flat, 0.1 * sound, atol=1e-5)
    np.testing.assert_array_equal(record(sound, rate, AS_IT_WAS, "clip"), sound)


def test_a_response_has_its_decibels_at_its_knots():
    """The fifth of nine knots lies in the middle of the mel range from 0 to 8 kHz; both ends are knots, too."""
    middle = 700 * (np.sqrt(1 + 8000 / 700) - 1)
    response = (6.0, 0.0, 0.0, 0.0, -6.0, 0.0, 0.0, 0.0, 12.0)
    for frequency, decibels in ((0.0, 6.0), (middle, -6.0), (7999.9, 12.0)):
        sound = np.cos(2 * np.pi * round(frequency) * np.arange(RATE) / RATE).astype(np.float32)
        found = record(sound, RATE, replace(AS_IT_WAS, response=response), "clip")
        assert 20 * np.log10(rms(found) / rms(sound)) == pytest.approx(decibels, abs=0.05)


def test_noise_and_neighbour_have_their_levels_and_differ_from_clip_to_clip():
    silence = np.zeros(RATE, np.float32)
    for changed in (replace(AS_IT_WAS, noise=0.02), replace(AS_IT_WAS, interference=0.02)):
        one, other = record(silence, RATE, changed, "one"), record(silence, RATE, changed, "other")
        assert (rms(one), rms(other)) == (pytest.approx(0.02, rel=1e-4), pytest.approx(0.02, rel=1e-4))
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.5
        np.testing.assert_array_equal(record(silence, RATE, changed, "one"), one)


def test_a_draw_depends_on_seed_and_machine_and_scales_with_its_decibels():
    one = draw(ALL, 0, "fan/00", 0.1)
    assert one == draw(ALL, 0, "fan/00", 0.1)
    assert len({one, draw(ALL, 1, "fan/00", 0.1), draw(ALL, 0, "fan/01", 0.1)}) == 3
    assert draw("response-6", 0, "fan/00", 0.1).response == tuple(2 * knot for knot in one.response)
    assert draw("gain-12", 0, "fan/00", 0.1).gain == pytest.approx(2 * one.gain)
    for level in (one.noise, one.interference):
        assert -20 <= 20 * np.log10(level / 0.1) <= -10
    alone = draw("gain-6", 0, "fan/00", 0.1)
    assert (any(alone.response), alone.noise, alone.interference) == (False, 0.0, 0.0)


@pytest.mark.parametrize("text", ["rooms", "response", "response-", "gain--3", "gain-3+gain-3", "gain-3,noise-1", "+"])
def test_what_are_no_conditions_is_refused(text):
    with pytest.raises(InputError, match="response-DB"):
        conditions(text)


def test_clips_of_one_machine_are_recorded_alike_and_count_as_the_same_clips(dcase_folder, tmp_path):
    plain = RunConfig(data_dir=str(dcase_folder), cache_dir=str(tmp_path / "cache"))
    recorded = replace(plain, recording_conditions=ALL)
    partitions = load_partitions(recorded, 0)
    of_machines = [{clip.conditions for clip in partition.clips} for partition in partitions]
    assert [len(found) for found in of_machines] == [1, 1]
    assert of_machines[0] != of_machines[1]
    assert manifest_rows(partitions, dcase_folder) == manifest_rows(load_partitions(plain, 0), dcase_folder)


def test_frames_of_a_recording_as_it_was_are_not_taken_for_those_of_another(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, 0.1 * tone(440), RATE, subtype="FLOAT")
    clip = Clip(path, "fan", "00", "train", 0, sha256_of(path))
    louder = replace(clip, conditions=replace(AS_IT_WAS, gain=10.0))
    np.testing.assert_allclose(load_waveform(louder, RATE), np.sqrt(10) * load_waveform(clip, RATE), rtol=1e-5)
    cache, encoder = EmbeddingCache(Path(tmp_path / "cache")), LogMel()
    loudest = [cache.encode(encoder, each).max() for each in (clip, louder, clip)]
    assert loudest[1] - loudest[0] == pytest.approx(10, abs=1e-3)
    assert loudest[2] == loudest[0]
