from pathlib import Path

import h5py
import numpy as np
import pytest

from collab_asd.core.errors import InputError
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
