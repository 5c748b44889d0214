"""Whether recordings are of another machine or another recorder, on detectors whose scores are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from collab_asd.detection import storage
from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.origin import BandLevels, Evidence, OriginCheck, band_edges, load_neighbours, mean_surprise
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.monitoring.monitor import Monitor

RATE, BANDS = 16_000, 16
NORMALS = 40


def machine_at(place, levels=None):
    """A detector on a line whose normal clips lie within 0.5 of a place; scores are distances from the nearest."""
    points = np.linspace(place - 0.5, place + 0.5, NORMALS, dtype=np.float32)[:, np.newaxis, np.newaxis]
    space = Space(None, ScorerSettings("knn")).learn(list(points), np.linspace(0, 0.03, NORMALS))
    return Detector((space,), levels)


def spectra(seed=0, spread=1.0):
    """Levels of normal clips: 16 bands that differ from clip to clip, and no offset."""
    levels = np.random.default_rng(seed).normal(-60, spread, (NORMALS, BANDS + 1)).astype(np.float32)
    levels[:, BANDS] = np.linspace(-1e-3, 1e-3, NORMALS)
    return levels


def recording(place, detector, levels=None):
    frames = np.full((3, 1), place, np.float32)
    levels = spectra()[0] if levels is None else levels
    return Evidence(frames, levels, detector.score(detector.embed(frames)))


def hints(check, places, levels=None):
    found = [check.add(recording(place, check.detector, levels)) for place in places]
    return [hint and hint.source for hint in found]


def test_the_surprise_of_normal_scores_is_one_on_average():
    rng = np.random.default_rng(0)
    surprises = [mean_surprise(rng.gamma(3, size=99), list(rng.gamma(3, size=50))) for _ in range(200)]
    assert np.mean(surprises) == pytest.approx(1, abs=0.05)


def test_the_surprise_by_hand():
    """Of three normal scores none, two and all are as high: -log of 1/4, 3/4 and 1."""
    assert mean_surprise(np.array([1.0, 2.0, 3.0]), [9.0]) == pytest.approx(np.log(4))
    assert mean_surprise(np.array([1.0, 2.0, 3.0]), [9.0, 2.0, 0.0]) == pytest.approx((np.log(4) + np.log(4 / 3)) / 3)


def test_what_a_neighbour_calls_normal_is_of_another_machine():
    check = OriginCheck(machine_at(0), lambda: {"fan/far": machine_at(50), "fan/01": machine_at(5)})
    places = np.linspace(4.6, 5.4, 5)
    assert hints(check, places) == [None] * 4 + ["another machine"]
    assert "fan/01" in check.hint.reason


@pytest.mark.parametrize("neighbours", [{}, {"fan/01": machine_at(5)}])
def test_what_no_neighbour_calls_normal_is_a_fault(neighbours):
    check = OriginCheck(machine_at(0), lambda: neighbours)
    assert hints(check, np.linspace(9.6, 10.4, 20)) == [None] * 20


def test_what_the_detector_itself_calls_normal_is_its_own_machine():
    """Two machines that sound alike; the neighbours are not even loaded."""

    def load():
        raise AssertionError

    assert hints(OriginCheck(machine_at(0), load), np.linspace(-0.4, 0.4, 20)) == [None] * 20


def test_a_hint_goes_when_the_own_machine_comes_back_and_prevails_if_it_held_for_half():
    check = OriginCheck(machine_at(0), lambda: {"fan/01": machine_at(5)})
    assert hints(check, np.linspace(4.6, 5.4, 10))[-1] == "another machine"
    assert hints(check, np.linspace(-0.4, 0.4, 10))[-1] is None
    assert check.prevailing.source == "another machine"
    hints(check, np.linspace(-0.4, 0.4, 10))
    assert check.prevailing is None


def test_four_recordings_are_too_few_for_any_hint():
    check = OriginCheck(machine_at(0, spectra()), lambda: {"fan/01": machine_at(5)})
    assert hints(check, [5.0] * 4, spectra()[0] + 20) == [None] * 4
    assert check.prevailing is None


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        (np.full(BANDS, 6.0), True),
        (np.full(BANDS, -6.0), True),
        (np.full(BANDS, 3.0), False),
        (np.r_[np.zeros(12), np.full(4, -40.0)], True),  # no treble
        (np.r_[np.zeros(15), 12.0], False),  # a whistle: 3 dB over all bands
    ],
)
def test_a_spectrum_that_is_far_away_is_of_another_recorder(change, taken):
    levels = spectra()
    check = OriginCheck(machine_at(0, levels))
    found = hints(check, [0.0] * 5, np.append(levels[:, :BANDS].mean(axis=0) + change, 0.0))
    assert found[-1] == ("another recorder or machine" if taken else None)


def test_far_is_measured_by_how_much_the_normal_clips_differ():
    """Where each clip is 6 dB louder or quieter than the mean, 6 dB are nothing."""
    levels = spectra(spread=0.1)
    levels[:, :BANDS] += 6 * np.where(np.arange(NORMALS) % 2, 1, -1)[:, np.newaxis]
    check = OriginCheck(machine_at(0, levels))
    assert hints(check, [0.0] * 5, np.append(levels[:, :BANDS].mean(axis=0) + 6, 0.0))[-1] is None


@pytest.mark.parametrize(("offset", "taken"), [(0.5, True), (-0.5, True), (0.05, False)])
def test_an_offset_is_of_another_recorder(offset, taken):
    levels = spectra()
    check = OriginCheck(machine_at(0, levels))
    found = hints(check, [0.0] * 5, np.append(levels[:, :BANDS].mean(axis=0), offset))
    assert found[-1] == ("another recorder or machine" if taken else None)


def test_a_detector_of_an_earlier_version_knows_no_recorder():
    check = OriginCheck(machine_at(0))
    assert hints(check, [0.0] * 5, spectra()[0] + 40) == [None] * 5


def test_band_levels_of_a_tone_and_an_offset():
    """Ten times the amplitude is 20 dB; 1 kHz lies in the band whose edges say so; 1 is 1.41 deviations of a sine."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32)
    (of_tone,), (shifted,), (loud,), (quiet,) = (BandLevels()(wave) for wave in (tone, tone + 1, noise, noise / 10))
    np.testing.assert_allclose((loud - quiet)[:BANDS], 20, atol=1e-3)
    low, high = band_edges(int(of_tone[:BANDS].argmax()))
    assert low <= 1000 <= high
    assert (of_tone[BANDS], shifted[BANDS]) == (pytest.approx(0, abs=1e-3), pytest.approx(np.sqrt(2), abs=1e-3))


def test_levels_do_not_depend_on_the_rate_of_a_file(detectors, make_sound, write_sound, tmp_path):
    monitor = Monitor.open(detectors["logmel"])
    sound = make_sound(90)
    paths = [
        write_sound(tmp_path / "16.wav", sound, subtype="FLOAT"),
        write_sound(tmp_path / "48.wav", signal.resample(sound, 3 * len(sound)), 48_000, "FLOAT"),
    ]
    first, second = (monitor.examine(path)[1].levels for path in paths)
    np.testing.assert_allclose(first[: BANDS - 1], second[: BANDS - 1], atol=0.1)  # the filter ends in the last band


def test_an_examined_recording_gets_the_verdict_that_judging_gives(detectors, make_sound, write_sound, tmp_path):
    monitor = Monitor.open(detectors["random-conv"])
    path = write_sound(tmp_path / "new.wav", make_sound(91, 0.05))
    verdict, evidence = monitor.examine(path)
    assert verdict == monitor.judge(path)
    assert evidence.anomaly_score == verdict.anomaly_score


def test_neighbours_are_other_machines_with_the_same_encoder(save_detector, tmp_path):
    from collab_asd.encoders.logmel import LogMel
    from collab_asd.encoders.random_conv import RandomConv, demo_key

    machines = {"fan_id_00": {}, "fan_id_01": {"machine_id": "01"}, "pump_id_00": {"machine_type": "pump"}}
    for name, changes in machines.items():
        save_detector(tmp_path / name, LogMel(), **changes)
    save_detector(tmp_path / "fan_id_00-client-1", LogMel())  # the same machine at another client
    save_detector(tmp_path / "fan_id_02", RandomConv(demo_key(0)), machine_id="02")
    save_detector(tmp_path / "fan_id_03", LogMel(), machine_id="03")
    (tmp_path / "fan_id_03" / "detector.safetensors").write_bytes(b"damaged")
    (tmp_path / "notes").mkdir()
    _, card = storage.load(tmp_path / "fan_id_00")
    assert list(load_neighbours(tmp_path / "fan_id_00", card)) == ["fan/01", "pump/00"]
    assert list(load_neighbours(tmp_path / "pump_id_00", replace(card, machine_type="pump"))) == ["fan/00", "fan/01"]
