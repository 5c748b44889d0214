"""All generations of OpenL3's files load; what is none of them is refused in words."""

import gzip
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.encoders import build
from collab_asd.encoders.checkpoints import LayerShapes, read_layers
from collab_asd.encoders.openl3 import WEIGHTS, OpenL3
from collab_asd.encoders.openl3.network import read_openl3

MODEL = "mel256-music"


@pytest.fixture(scope="module")
def checkpoint(write_h5, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_h5("openl3_mel256.json", tmp_path_factory.mktemp("openl3") / "weights.h5")


@pytest.fixture
def rewrite(checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the same layers in another generation's layout."""

    def write(root: str = "/", text: bool = False, prefix: str = "", front_end: LayerShapes = ()) -> Path:
        layers = {prefix + layer.name: layer.weights for layer in read_layers(checkpoint)}
        layers = {"input": (), "melspectrogram_1": [np.ones(shape, np.float32) for shape in front_end]} | layers
        with h5py.File(tmp_path / "other.h5", "w") as file:
            group = file.require_group(root)
            group.attrs["layer_names"] = list(layers) if text else [name.encode() for name in layers]
            for name, arrays in layers.items():
                names = [f"{name}/array_{i}:0" for i in range(len(arrays))]
                group.require_group(name).attrs["weight_names"] = names if text else np.array(names, "S")
                for array_name, array in zip(names, arrays, strict=True):
                    group[name][array_name] = array
        return tmp_path / "other.h5"

    return write


OLD_FRONT_END = ((2048, 1, 1, 1025), (2048, 1, 1, 1025))  # real and imaginary part of the Fourier transform


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"text": True},
        {"root": "model_weights"},
        {"prefix": "audio_"},
        {"front_end": (*OLD_FRONT_END, (1025, 256))},
        {"front_end": (*OLD_FRONT_END, (256, 1025))},
    ],
    ids=["bytes", "text", "whole model", "other names", "with front end", "with front end, transposed"],
)
def test_every_generation_is_the_same_model(checkpoint, rewrite, layout):
    expected, found = read_openl3(checkpoint, MODEL), read_openl3(rewrite(**layout), MODEL)
    assert len(found) == 16
    for one, other in zip(expected, found, strict=True):
        for array, other_array in zip(one.weights, other.weights, strict=True):
            np.testing.assert_array_equal(array, other_array)


def test_packed_file(checkpoint, tmp_path):
    packed = tmp_path / "openl3_audio_mel256_music-v0_4_0.h5.gz"
    packed.write_bytes(gzip.compress(checkpoint.read_bytes(), compresslevel=1))
    spec = OpenL3(packed, 512).spec
    assert spec.digest == OpenL3(checkpoint, 512).spec.digest
    assert "weights from openl3_audio_mel256_music-v0_4_0.h5.gz" in spec.note


def test_digest_knows_every_weight(checkpoint, tmp_path):
    (tmp_path / "other.h5").write_bytes(checkpoint.read_bytes())
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        file["audio_embedding_layer/audio_embedding_layer/bias:0"][7] += 1e-3
    assert OpenL3(tmp_path / "other.h5", 512).spec.digest != OpenL3(checkpoint, 512).spec.digest


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openl3_audio_linear_music.h5", "audio linear-music"),
        ("openl3_audio_mel128_music-v0_4_0.h5", "audio mel128-music"),
        ("openl3_audio_mel256_env-v0_4_0.h5", "audio mel256-env"),
        ("openl3_image_mel256_music.h5", "image mel256-music"),
    ],
)
def test_name_of_another_model(checkpoint, tmp_path, name, found):
    (tmp_path / name).write_bytes(checkpoint.read_bytes())
    message = (
        rf"{name}: expected OpenL3 weights of audio mel256-music, found {found}; give .*--weights, or .*openl3-model"
    )
    with pytest.raises(InputError, match=message):
        OpenL3(tmp_path / name, 512)


@pytest.mark.parametrize("front_end", [((512, 1, 1, 257), (512, 1, 1, 257)), (*OLD_FRONT_END, (1025, 128))])
def test_front_end_of_another_model(rewrite, front_end):
    with pytest.raises(InputError, match=r"other\.h5: expected OpenL3 weights of a mel matrix of 1025 x 256 .* found"):
        OpenL3(rewrite(front_end=front_end), 512)


def test_other_network(write_h5, tmp_path):
    with pytest.raises(InputError, match=r"yamnet\.h5: expected 16 layers .* of OpenL3 mel256-music, found 55"):
        OpenL3(write_h5("yamnet.json", tmp_path / "yamnet.h5"), 512)


def test_other_shape(checkpoint, tmp_path):
    path = tmp_path / "wide.h5"
    path.write_bytes(checkpoint.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["conv2d_1/conv2d_1/kernel:0"]
        file["conv2d_1/conv2d_1/kernel:0"] = np.zeros((3, 3, 3, 64), np.float32)
    with pytest.raises(InputError, match=r"wide\.h5: .*\(3, 3, 1, 64\).*'conv2d_1'.*found \[\(3, 3, 3, 64\)"):
        OpenL3(path, 512)


@pytest.mark.parametrize("suffix", [".h5", ".h5.gz"])
def test_truncated_file(checkpoint, tmp_path, suffix):
    path, content = tmp_path / f"cut{suffix}", checkpoint.read_bytes()
    content = gzip.compress(content, compresslevel=1) if suffix == ".h5.gz" else content
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.h5.*: expected a whole Keras 2 weights file.*truncated.*download it"):
        OpenL3(path, 512)


def test_login_page(tmp_path):
    (tmp_path / "page.h5").write_text("<!DOCTYPE html><title>Log in</title>")
    with pytest.raises(InputError, match=r"page\.h5: expected .*found a web page .*login page.*download it again"):
        OpenL3(tmp_path / "page.h5", 512)


def test_official_addresses():
    assert WEIGHTS["mel256-music"].url.endswith("/raw/models/openl3_audio_mel256_music-v0_4_0.h5.gz")
    assert WEIGHTS["mel128-env"].filename == "openl3_audio_mel128_env-v0_4_0.h5.gz"


def test_configuration(checkpoint):
    values = {"encoder-weights": str(checkpoint), "openl3-model": "mel128-env", "frontend": "legacy"}
    short = build(RunConfig.from_mapping(values | {"encoder": "openl3-512"})).spec
    long = build(RunConfig.from_mapping(values | {"encoder": "openl3-6144"})).spec
    assert (short.name, short.dimension, long.name, long.dimension) == ("openl3-512", 512, "openl3-6144", 6144)
    assert "mel128-env, front end legacy" in short.note
