"""Recordings in one place: refusals, whole runs, and what embedding sharing with log-mel frames is identical to."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from collab_asd.classifier.settings import PRESETS
from collab_asd.classifier.training import train
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.seeding import derive
from collab_asd.core.types import MachineFrames
from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.detection.second_order import ClipSpectrum, summarize
from collab_asd.detection.storage import load
from collab_asd.encoders import OffsetRemoved
from collab_asd.encoders.logmel import LogMel
from collab_asd.encoders.waveform import Waveform
from collab_asd.federation.engines import run_inprocess
from collab_asd.methods import METHODS
from collab_asd.methods.embedding_sharing.algorithm import fit_detector
from collab_asd.methods.embedding_sharing.covariances import others_of_machines
from collab_asd.methods.embedding_sharing.pages import sha256_of
from collab_asd.monitoring.monitor import Monitor


def configured(machines, cache, out):
    return RunConfig(
        method="centralized", encoder="waveform", data_dir=str(machines), cache_dir=str(cache), results_dir=str(out),
        epochs=1, report=False,
    )  # fmt: skip


@pytest.fixture
def config(machines, cache, tmp_path):
    return configured(machines, cache, tmp_path / "run")


@pytest.fixture(scope="module")
def run(machines, cache, tmp_path_factory):
    """One finished run, for those who only read it."""
    return run_inprocess(configured(machines, cache, tmp_path_factory.mktemp("centralized") / "run"), 3)


def rows(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scores(folder):
    return {row["clip"]: float(row["anomaly_score"]) for row in rows(folder)}


def test_an_encoder_that_is_not_the_recording_is_refused_before_any_work(config, tmp_path):
    with pytest.raises(InputError, match="--encoder waveform"):
        run_inprocess(replace(config, encoder="logmel"), 3)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", [name for name in METHODS if name != "centralized"])
def test_no_other_method_takes_bare_samples(config, method, tmp_path):
    with pytest.raises(InputError, match="'waveform'"):
        run_inprocess(replace(config, method=method), 3)
    assert not (tmp_path / "run").exists()


def test_a_run_shares_the_recordings_and_hears_the_whistle(run):
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["method"], summary["encoder"], summary["scorer"]) == ("centralized", "waveform", "fusion")
    assert summary["encoder_note"] == "not private: shares the recording itself"
    assert summary["auc"]["total"] > 0.9
    assert len(rows(run)) == 3 * 12
    # 12 training clips of 4 s as 32-bit samples: 125 whole frames of 512; and the triangle of a covariance.
    for sent in summary["bytes_up"].values():
        assert sent == pytest.approx(12 * 125 * 512 * 4 + 4 * 256 * 257 / 2, rel=0.01)


def test_a_saved_detector_scores_as_the_run_did(run, machines):
    monitor = Monitor.open(run / "detectors" / "fan_id_01")
    clips = {clip: score for clip, score in scores(run).items() if "_id_01_" in clip}
    assert len(clips) == 12
    assert {clip: monitor.judge(machines / clip).anomaly_score for clip in clips} == clips


def test_the_local_space_is_that_of_log_mel_frames(run, machines):
    """Fusion adds what embedding sharing with log-mel frames would add."""
    detector, _ = load(run / "detectors" / "fan_id_00")
    waveform = load_waveform(find_clips(machines, 0)[0], 16_000)
    mean = OffsetRemoved(LogMel())(waveform).mean(axis=0)
    _, *own = detector.spaces
    assert [space.name for space in own] == ["levels", "spectrum", "segments", "levels", "spectrum"]
    assert [space.others is None for space in own] == [True, True, True, False, False]
    clip = Waveform()(waveform), ClipSpectrum()(waveform)
    for space in own[:2] + own[3:]:
        np.testing.assert_allclose(space.embed(*clip)[0, :128], mean, atol=1e-4)


def test_algorithm_2_gives_the_same_scores(run, config):
    at_server = scores(run_inprocess(replace(config, inference="server"), 3))
    assert at_server == pytest.approx(scores(run), abs=1e-6)


@pytest.mark.parametrize("scorer", ["fusion", "knn"])
def test_sharing_log_mel_frames_is_outlier_exposure_on_pooled_recordings(config, machines, scorer):
    """Through the whole federation, or from the files in one place: the same scores, to the last bit.

    The server does not know the clips' own order, so it learns from them in that of what they sent.
    """
    sharing = replace(config, method="embedding-sharing", encoder="logmel", scorer=scorer, codec="fp32")
    names = sorted({clip.machine_id for clip in find_clips(machines, 0)})
    pool = {name: _log_mel(machines, name, "train") for name in names}
    f_s = train(
        [spectrum for clips in pool.values() for spectrum in sorted(clips.values(), key=sha256_of)],
        [names.index(name) for name, clips in pool.items() for _ in clips],
        replace(PRESETS["fast"], epochs=1),
        derive(sharing.seed, "id-classifier", 0),
        stack=64,
        stack_hop=8,
    )
    held = {}
    for name, clips in pool.items():
        ranks = np.argsort(np.argsort(list(clips))).tolist()  # file names have numbers of equal length
        own = MachineFrames(0, names.index(name), [summarize(spectrum) for spectrum in clips.values()])
        held[name] = MachineFrames(0, names.index(name), list(clips.values()), spectra=own, recorded=ranks)
    expected = {}
    told = others_of_machines(held.values()) if scorer == "fusion" else [None] * len(held)
    for (name, normal), others in zip(held.items(), told, strict=True):
        detector = fit_detector(f_s, normal, DetectorSettings.of(sharing), others=others)
        for clip, spectrum in _log_mel(machines, name, "test").items():
            expected[clip] = detector.score(detector.embed(spectrum, summarize(spectrum)))
    assert scores(run_inprocess(sharing, 3)) == expected


def _log_mel(machines, name, split):
    """Spectra of one machine's clips by file name, in the order of their hashes."""
    clips = [clip for clip in find_clips(machines, 0) if (clip.machine_id, clip.split) == (name, split)]
    clips.sort(key=lambda clip: clip.sha256)
    return {
        str(clip.path.relative_to(machines)): OffsetRemoved(LogMel())(load_waveform(clip, 16_000)) for clip in clips
    }
