"""The example package of the docs, installed as its user would: a method, an encoder and a scorer from outside."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.encoders import remove_offset
from collab_asd.encoders.random_conv import RandomConv, demo_key

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLE = DOCS / "examples" / "collab-asd-extras"
BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+\.(?:py|toml))\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the installed package."""
    folder = tmp_path_factory.mktemp("extras")
    shutil.copytree(EXAMPLE, folder / "source")  # building leaves files beside the source
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder / "site"), str(folder / "source")], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def call(site, tmp_path_factory):
    """Runs `collab-asd` in a process of its own, which has the package."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    folder = tmp_path_factory.mktemp("called")

    def called(*arguments):
        command = [sys.executable, "-m", "collab_asd.cli.main", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return called


@pytest.fixture(scope="module")
def run(call, machines, cache, tmp_path_factory):
    """One finished run of the method, for those who only read it."""
    out = tmp_path_factory.mktemp("results") / "run"
    where = ("--data", machines, "--out", out, "--set", f"cache-dir={cache}", "--set", "report=false", "--quiet")
    call("run", "--method", "federated-zscore", *where)
    return out


def scores(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return {row["clip"]: float(row["anomaly_score"]) for row in csv.DictReader(file)}


def test_the_docs_show_the_package_as_it_is():
    shown = dict(BLOCK.findall((DOCS / "own_method.md").read_text(encoding="utf-8")))
    files = [*EXAMPLE.glob("*.toml"), *EXAMPLE.rglob("*.py")]
    assert shown == {str(f.relative_to(EXAMPLE)): f.read_text(encoding="utf-8") for f in files}


@pytest.mark.slow
def test_all_three_are_listed(call):
    (method,) = [row for row in json.loads(call("methods", "--json")) if row["name"] == "federated-zscore"]
    assert (method["package"], method["shares"], method["problem"]) == ("collab-asd-extras", "statistics", "")
    assert "octaves" in [row["name"] for row in json.loads(call("encoders", "list", "--json"))]


@pytest.mark.slow
def test_the_method_leaves_a_result_folder(run):
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["method"], summary["scorer"]) == ("federated-zscore", "knn")
    assert summary["auc"]["total"] > 0.9  # the whistle is plain to hear
    assert max(summary["bytes_up"].values()) < 3 * 512 * 8 + 5000  # sums, and no embedding
    assert len(scores(run)) == 3 * 12


@pytest.mark.slow
def test_scores_are_distances_in_the_units_of_all_training_frames(run, machines):
    encoder, clips = remove_offset(RandomConv(demo_key(0))), find_clips(machines)
    frames = {clip.path: encoder(load_waveform(clip, encoder.spec.sample_rate)) for clip in clips}
    pooled = np.concatenate([frames[clip.path] for clip in clips if clip.split == "train"]).astype(np.float64)
    deviation = np.maximum(pooled.std(axis=0), 0.01 * pooled.std(axis=0).max())
    point = {path: (f.mean(axis=0) - pooled.mean(axis=0)) / deviation for path, f in frames.items()}
    found = scores(run)
    for clip in [clip for clip in clips if clip.split == "test"][::7]:
        own = [point[other.path] for other in clips if other.machine == clip.machine and other.split == "train"]
        distances = np.sort(np.linalg.norm(np.array(own) - point[clip.path], axis=1))
        score = found[clip.path.relative_to(machines).as_posix()]
        assert score == pytest.approx(distances[:2].mean(), rel=1e-4)  # of two neighbours


@pytest.mark.slow
def test_through_ray_the_scores_are_the_same(call, run, machines, cache, tmp_path):
    out = tmp_path / "ray"
    where = ("--data", machines, "--out", out, "--set", f"cache-dir={cache}", "--set", "report=false", "--quiet")
    call("run", "--engine", "ray", "--method", "federated-zscore", *where)
    assert scores(out) == scores(run)


@pytest.mark.slow
def test_encoder_and_scorer_are_compared_and_their_detectors_judge_new_clips(call, machines, cache, tmp_path):
    (tmp_path / "x.toml").write_text(
        'name = "x"\nmethods = ["federated-zscore", "embedding-sharing"]\n'
        'encoders = ["octaves"]\nscorers = ["robust"]\n'
    )
    where = (tmp_path / "x.toml", "--data", machines, "--out", tmp_path / "out", "--set", f"cache-dir={cache}")
    cost = {
        row["method"]: row for row in json.loads(call("compare", *where, "--dry-run", "--json"))["forecast"]["runs"]
    }
    assert cost["federated-zscore"]["bytes_up"] is None  # it does not say
    assert cost["embedding-sharing"]["bytes_up"] > 0
    call("compare", *where)
    cells = tmp_path / "out" / "cells"
    assert sorted(cell.name for cell in cells.iterdir() if (cell / "summary.json").exists()) == [
        "embedding-sharing-octaves-robust-0",
        "federated-zscore-octaves-knn-0",
    ]
    shared = cells / "embedding-sharing-octaves-robust-0"
    clip = next(iter(scores(shared)))
    machine = re.search(r"id_\d+", clip)[0]
    judged = json.loads(call("score", shared / "detectors" / f"fan_{machine}", machines / clip, "--json"))
    assert judged["anomaly_score"] == pytest.approx(scores(shared)[clip])


def test_a_broken_package_is_told_of_to_whoever_asks_for_it(install, tmp_path, capsys):
    from typer.testing import CliRunner

    from collab_asd.cli.main import app

    install("collab_asd.methods", "broken_extras", "import no_such_module", {"broken": "broken_extras:METHOD"})
    asked = CliRunner().invoke(app, ["run", "--method", "broken", "--out", str(tmp_path / "run")])
    assert asked.exit_code == 2
    assert "broken_extras" in asked.stderr
    assert "no_such_module" in asked.stderr
    listed = CliRunner().invoke(app, ["methods"])
    assert listed.exit_code == 0
    assert "broken_extras" in listed.stderr
    assert "local-knn" in listed.stdout
