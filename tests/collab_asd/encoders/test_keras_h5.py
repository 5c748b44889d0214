import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from collab_asd.core.errors import InputError
from collab_asd.encoders import checkpoints
from collab_asd.encoders.checkpoints import KerasLayer, read_layers, require_shapes


def write(path: Path, group: str = "/", names: type = bytes) -> Path:
    """Write a dense layer between two layers without weights, in the layout of Keras 2."""

    def attribute(*values: str) -> list:
        return [v.encode() for v in values] if names is bytes else list(values)

    with h5py.File(path, "w") as file:
        root = file.require_group(group)
        root.attrs["layer_names"] = attribute("input", "a/dense", "relu")
        for name, weights in {"input": (), "a/dense": ("a/dense/kernel:0", "a/dense/bias:0"), "relu": ()}.items():
            layer = root.create_group(name)
            layer.attrs["weight_names"] = attribute(*weights) if weights else np.zeros(0, "S1")
        root["a/dense"]["a/dense/bias:0"] = np.array([5.0, 6.0])
        root["a/dense"]["a/dense/kernel:0"] = np.array([[1.0, 2.0], [3.0, 4.0]])
    return path


@pytest.mark.parametrize(("group", "names"), [("/", bytes), ("/", str), ("model_weights", bytes)])
def test_reads_layers_that_have_weights_in_order(tmp_path, group, names):
    (layer,) = read_layers(write(tmp_path / "w.h5", group, names))
    assert layer.name == "a/dense"
    kernel, bias = layer.weights
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(bias, [5, 6])


def test_truncated_file(tmp_path):
    path = write(tmp_path / "w.h5")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"w\.h5: expected a whole Keras 2 weights file.*truncated"):
        read_layers(path)


def test_web_page(tmp_path):
    path = tmp_path / "w.h5"
    path.write_text("\n<!DOCTYPE html><html><body>Log in</body></html>")
    with pytest.raises(InputError, match=r"w\.h5: .*found a web page of 48 bytes"):
        read_layers(path)


def test_empty_file(tmp_path):
    (tmp_path / "w.h5").touch()
    with pytest.raises(InputError, match="of 0 bytes"):
        read_layers(tmp_path / "w.h5")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone\.h5: cannot be read"):
        read_layers(tmp_path / "gone.h5")


def test_hdf5_of_something_else(tmp_path):
    with h5py.File(tmp_path / "k3.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros(3)
    with pytest.raises(InputError, match=r"k3\.h5: .*without the attribute 'layer_names'"):
        read_layers(tmp_path / "k3.h5")


def test_listed_layer_is_missing(tmp_path):
    path = write(tmp_path / "w.h5")
    with h5py.File(path, "r+") as file:
        del file["a/dense/a/dense/bias:0"]
    with pytest.raises(InputError, match=r"w\.h5: expected a whole Keras 2 weights file"):
        read_layers(path)


def test_require_shapes():
    layers = [KerasLayer("dense", (np.zeros((2, 3), np.float32), np.zeros(3, np.float32)))]
    require_shapes(Path("w.h5"), "Net", layers, [((2, 3), (3,))])
    with pytest.raises(InputError, match=r"w\.h5: expected 2 layers with weights of Net, found 1"):
        require_shapes(Path("w.h5"), "Net", layers, [((2, 3), (3,))] * 2)
    with pytest.raises(InputError, match=r"shapes \[\(2, 4\), \(4,\)\] in layer 'dense'.* found \[\(2, 3\), \(3,\)\]"):
        require_shapes(Path("w.h5"), "Net", layers, [((2, 4), (4,))])


def external(group, tmp_path):
    (tmp_path / "secret").write_bytes(np.arange(4.0).tobytes())
    group.create_dataset("a/dense/kernel:0", (2, 2), "f8", external=[(str(tmp_path / "secret"), 0, 32)])


def virtual(group, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.zeros((2, 2))
    layout = h5py.VirtualLayout((2, 2), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (2, 2))
    group.create_virtual_dataset("a/dense/kernel:0", layout)


def link_out(group, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.zeros((2, 2))
    group["a/dense/kernel:0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")


def link_within(group, tmp_path):
    group["a/dense/kernel:0"] = h5py.SoftLink("/a/dense/a/dense/bias:0")


def eight_terabytes(group, tmp_path):
    group.create_dataset("a/dense/kernel:0", (2**20, 2**20), "f8", chunks=(64, 64))


def texts(group, tmp_path):
    group["a/dense/kernel:0"] = np.array([b"a", b"b"])


def a_group(group, tmp_path):
    group.create_group("a/dense/kernel:0")


@pytest.mark.parametrize(
    "replaced", [external, virtual, link_out, link_within, eight_terabytes, texts, a_group], ids=lambda f: f.__name__
)
def test_only_arrays_of_the_file_itself_and_of_a_size_that_weights_have_are_read(tmp_path, replaced):
    path = write(tmp_path / "w.h5")
    with h5py.File(path, "a") as file:
        group = file["a/dense"]
        del group["a/dense/kernel:0"]
        replaced(group, tmp_path)
    with pytest.raises(InputError, match=r"w\.h5: expected a whole Keras 2 weights file"):
        read_layers(path)


@pytest.mark.parametrize("names", [5, np.zeros((2, 2)), "input", [1.5], h5py.Empty("f")], ids=str)
@pytest.mark.parametrize("attribute", ["layer_names", "weight_names"])
def test_names_that_are_none(tmp_path, attribute, names):
    path = write(tmp_path / "w.h5")
    with h5py.File(path, "a") as file:
        (file if attribute == "layer_names" else file["a/dense"]).attrs[attribute] = names
    with pytest.raises(InputError, match=r"w\.h5: expected a whole Keras 2 weights file"):
        read_layers(path)


def test_a_packed_file_that_unpacks_to_more_than_any_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "MOST_BYTES", 1_000_000)
    (tmp_path / "w.h5.gz").write_bytes(gzip.compress(bytes(1_000_001)))
    with pytest.raises(InputError, match="unpacks to more than"):
        read_layers(tmp_path / "w.h5.gz")
