"""`collab-asd embed`: what it leaves is what a run looks for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import soundfile
from typer.testing import CliRunner

from collab_asd.cli.main import app
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.encoders import build
from collab_asd.encoders import precompute as ahead
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.encoders.logmel import LogMel

CLIPS = 3 * 24


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


@pytest.fixture
def embed(machines, tmp_path):
    def embed(*more, data=machines):
        return call("embed", data, "--encoder", "logmel", "--jobs", 1, "--set", f"cache-dir={tmp_path / 'c'}", *more)

    return embed


@pytest.fixture
def copy(machines, tmp_path):
    """Recordings that a test may spoil."""
    return shutil.copytree(machines, tmp_path / "copy")


def test_a_run_afterwards_embeds_nothing(embed, machines, tmp_path, monkeypatch):
    first = embed()
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith(f"logmel: {CLIPS} clips embedded in ")
    assert f"in {tmp_path / 'c' / 'embeddings'}" in first.stdout

    def refuse(*_):
        raise AssertionError("a clip was encoded again")

    monkeypatch.setattr(LogMel, "__call__", refuse)
    settings = ["--set", f"cache-dir={tmp_path / 'c'}", "--set", "report=false", "--set", "epochs=1"]
    run = call("run", "--data", machines, "--encoder", "logmel", "--out", tmp_path / "out", *settings)
    assert run.exit_code == 0, run.output


def test_what_is_cached_is_skipped(embed):
    embed()
    again = json.loads(embed("--json").stdout)
    assert (again["embedded"], again["cached_before"], again["problems"]) == (0, CLIPS, [])


def test_frames_are_the_encoders(embed, machines, tmp_path):
    embed()
    encoder, cache = build(RunConfig(encoder="logmel")), EmbeddingCache(tmp_path / "c" / "embeddings")
    for clip in find_clips(machines)[::17]:
        np.testing.assert_array_equal(cache.load(encoder.spec, clip), encoder(load_waveform(clip, 16_000)))


def test_bad_clips_are_told_together_and_the_others_embedded(embed, copy):
    truncated, silent, short = sorted((copy / "fan" / "train").iterdir())[:3]
    truncated.write_bytes(truncated.read_bytes()[:5000])
    soundfile.write(silent, np.zeros(32_000), 16_000)
    soundfile.write(short, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 16_000)
    result = embed(data=copy)
    assert result.exit_code == 2
    assert f"error fan/train/{truncated.name} (4.00 s stated, 0.15 s present): the file is truncated" in result.stderr
    assert f"error fan/train/{silent.name}: a constant signal" in result.stderr
    assert f"error fan/train/{short.name}: shorter than one embedding window of 1 s" in result.stderr
    assert f"logmel: {CLIPS - 3} clips embedded" in result.stdout
    assert "3 cannot be used" in result.stdout
    again = json.loads(embed("--json", data=copy).stdout)
    assert (again["embedded"], again["cached_before"]) == (0, CLIPS - 3)
    assert [problem["subject"] for problem in again["problems"]] == [
        f"fan/train/{path.name}" for path in (truncated, silent, short)
    ]


def test_one_content_is_embedded_once(embed, copy):
    first, second, *_ = sorted((copy / "fan" / "train").iterdir())
    shutil.copy(first, second)
    assert json.loads(embed("--json", data=copy).stdout)["embedded"] == CLIPS - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--encoder", "wav2vec"), "encoder 'wav2vec' does not exist"),
        (("--encoder", "yamnet", "--weights", "/nowhere.h5"), "/nowhere.h5: no such file"),
        (("--set", "sead=1"), "'sead'"),
        (("--set", "cache-dir=/dev/null"), "/dev/null: is a file, not a folder"),
    ],
)
def test_bad_input(embed, options, message):
    result = embed(*options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_no_recordings(embed, tmp_path):
    result = embed(data=tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "no such folder" in result.stderr


@pytest.mark.slow
def test_two_processes_embed_as_one_does(machines, tmp_path, on_advance):
    clips = find_clips(machines)[:6]
    one, two = (RunConfig(cache_dir=str(tmp_path / name)) for name in ("one", "two"))
    assert ahead.embed(one, clips) == []
    told = []
    on_advance(lambda what, amount: told.append(what))
    assert ahead.embed(two, clips, jobs=2) == []
    assert len(told) == 6
    found = [{p.name: p.read_bytes() for p in (tmp_path / name).rglob("*.npy")} for name in ("one", "two")]
    assert len(found[0]) == 6
    assert found[0] == found[1]


def kill(clip):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_killed_process_is_told_in_words(machines, monkeypatch):
    with pytest.raises(InputError, match=r"was killed, perhaps for want of memory.*fewer --jobs"):
        list(ahead._in_processes(kill, find_clips(machines)[:4], 2))


@pytest.mark.slow
def test_killed_and_started_again_loses_nothing(machines, tmp_path):
    command = [sys.executable, "-m", "collab_asd.cli.main", "embed", str(machines), "--jobs", "2"]
    command += ["--set", f"cache-dir={tmp_path}", "--json", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(list(tmp_path.rglob("*.npy"))) < 5:
        time.sleep(0.005)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(helpers, timeout=30)
    assert not alive
    there = len(list(tmp_path.rglob("*.npy")))
    assert 5 <= there < CLIPS
    again = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (again["cached_before"], again["embedded"]) == (there, CLIPS - there)
