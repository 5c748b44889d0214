"""The worked example of a method runs as it stands in the docs."""

import csv
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import baselines
from collab_asd.config import RunConfig
from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.encoders import build
from simulations import client_app, methods

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "own_method.md"
BLOCK = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def example(tmp_path, monkeypatch, machines, cache):
    """A folder with the files of the guide beside recordings, as its reader would have it."""
    for name, code in BLOCK.findall(GUIDE.read_text(encoding="utf-8")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    (tmp_path / "recordings").symlink_to(machines)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path / "baselines")])
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    monkeypatch.setattr(client_app, "SCORING", dict(client_app.SCORING))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("baselines.zscore")]:
        del sys.modules[name]
    vars(baselines).pop("zscore", None)


def test_the_methods_folder_has_both_halves(example):
    files = {str(path.relative_to(example)) for path in example.rglob("*.py") if "recordings" not in path.parts}
    assert files == {"baselines/zscore/strategy.py", "baselines/zscore/client.py", "try_zscore.py"}


def test_the_method_runs_and_leaves_a_result_folder(example):
    runpy.run_path("try_zscore.py")
    folder = example / "results" / "zscore"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["method"] == "zscore"
    assert set(summary["auc"]["by_id"]) == {"fan/00", "fan/01", "fan/02"}
    assert summary["auc"]["total"] > 0.9  # the whistle is plain to hear
    assert max(summary["bytes_up"].values()) < 3 * 512 * 8 + 5000  # sums, and no embedding
    assert not (folder / "detectors").exists()
    with (folder / "scores.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * 12


def test_scores_are_distances_in_the_units_of_all_training_frames(example, machines):
    runpy.run_path("try_zscore.py")
    with (example / "results" / "zscore" / "scores.csv").open(newline="") as file:
        found = {row["clip"]: float(row["anomaly_score"]) for row in csv.DictReader(file)}
    encoder, clips = build(RunConfig()), find_clips(machines)
    frames = {clip.path: encoder(load_waveform(clip, encoder.spec.sample_rate)) for clip in clips}
    pooled = np.concatenate([frames[clip.path] for clip in clips if clip.split == "train"]).astype(np.float64)
    deviation = np.maximum(pooled.std(axis=0), 0.01 * pooled.std(axis=0).max())
    point = {path: (f.mean(axis=0) - pooled.mean(axis=0)) / deviation for path, f in frames.items()}
    for clip in [clip for clip in clips if clip.split == "test"][::7]:
        own = [point[other.path] for other in clips if other.machine == clip.machine and other.split == "train"]
        distances = np.sort(np.linalg.norm(np.array(own) - point[clip.path], axis=1))
        score = found[clip.path.relative_to(machines).as_posix()]
        assert score == pytest.approx(distances[:2].mean(), rel=1e-4)  # of two neighbours
