"""Whole runs with weights that are not the published ones, report included: all clips are 1.2 s short."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from collab_asd.config import RunConfig
from collab_asd.federation.engines import run_inprocess
from collab_asd.report.run_report import report

RATE, SECONDS = 16_000, 1.2


@pytest.fixture(scope="module")
def short_clips(tmp_path_factory) -> Path:
    """Two machines that hum at different pitches, four clips to train on and two of each kind to test."""
    folder = tmp_path_factory.mktemp("short")
    random, time = np.random.default_rng(0), np.arange(int(SECONDS * RATE)) / RATE
    for machine, pitch in (("00", 200), ("01", 510)):
        for split, label, count in (("train", "normal", 4), ("test", "normal", 2), ("test", "anomaly", 2)):
            (folder / "fan" / split).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                sound = 0.1 * np.sin(2 * np.pi * pitch * time) + 0.02 * random.normal(size=len(time))
                sound += 0.05 * (label == "anomaly") * np.sin(2 * np.pi * 3000 * time)
                soundfile.write(folder / "fan" / split / f"{label}_id_{machine}_{i:08d}.wav", sound, RATE)
    return folder


def whole_run(encoder, weights, data, tmp_path):
    config = RunConfig(
        encoder=encoder,
        encoder_weights=str(weights),
        frontend="legacy",
        data_dir=str(data),
        cache_dir=str(tmp_path / "cache"),
        results_dir=str(tmp_path / "run"),
        epochs=1,
        report=False,
    )
    folder = run_inprocess(config, 2)
    summary = json.loads((folder / "summary.json").read_text())
    assert len(summary["machines"]) == 2
    return summary["encoder_note"], report([folder]).read_text()


@pytest.mark.slow
def test_openl3_with_weights_of_unknown_origin(write_h5, short_clips, tmp_path):
    weights = write_h5("openl3_mel256.json", tmp_path / "found_somewhere.h5")
    note, page = whole_run("openl3-512", weights, short_clips, tmp_path)
    assert note.endswith(": not verified, since no hash of the published file is known")
    assert f"Encoder openl3-512: {note}." in page
    assert "No clips are shown" not in page


@pytest.mark.slow
def test_panns_with_weights_that_are_not_the_published_ones(panns_checkpoint, short_clips, tmp_path):
    note, page = whole_run("panns", panns_checkpoint, short_clips, tmp_path)
    assert note.startswith("weights from panns.pth, digest ")
    assert note.endswith(": not the published file")
    assert f"Encoder panns: {note}." in page
    assert "No clips are shown" not in page
