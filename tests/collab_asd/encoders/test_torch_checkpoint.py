"""Checkpoints are read as tensors; whatever else a file holds is refused and never run."""

import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

from collab_asd.core.errors import InputError
from collab_asd.encoders.checkpoints import fold, read_tensors, require_tensors, tensors_digest

STATE = OrderedDict(weight=torch.arange(6.0).reshape(2, 3), bias=torch.tensor([1.0, -1.0]))
SAMPLER = {"indexes_per_class": [np.arange(3), np.arange(2.0)], "queue": [1], "done": np.zeros(2, bool)}
SHAPES = {"weight": (2, 3), "bias": (2,)}


class Hostile:
    """Would make a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def assert_is_state(tensors):
    assert list(tensors) == ["weight", "bias"]
    assert all(torch.equal(tensors[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("content", [STATE, {"model": STATE}, {"iteration": 7, "model": STATE, "sampler": SAMPLER}])
@pytest.mark.parametrize("zipped", [True, False])
def test_layouts(tmp_path, content, zipped):
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert_is_state(read_tensors(tmp_path / "w.pth"))


def test_arrays_of_old_numpy(tmp_path):
    """NumPy 1 called the module of what rebuilds an array numpy.core."""
    path = tmp_path / "w.pth"
    torch.save({"model": STATE, "sampler": SAMPLER}, path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
    assert old != path.read_bytes()
    path.write_bytes(old)
    assert_is_state(read_tensors(path))


def test_numpy_stays_forbidden_elsewhere(tmp_path):
    torch.save({"model": STATE, "sampler": SAMPLER}, tmp_path / "w.pth")
    read_tensors(tmp_path / "w.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pth", weights_only=True)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickle_is_refused_and_not_run(tmp_path, zipped):
    path, target = tmp_path / "evil.pth", tmp_path / "target"
    torch.save({"model": STATE, "sampler": Hostile(target)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"evil\.pth: .*found one that wants to run \S*open.*not run.*download"):
        read_tensors(path)
    assert not target.exists()
    torch.load(path, weights_only=False)["sampler"].close()
    assert target.exists(), "the pickle would have been harmless anyway"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "a web page"),
        (b"version https://git-lfs", "begins with b'version https://'"),
        (b"", "(0 bytes)"),
        (b"\x80\x02garbage", "damaged or truncated"),
        (b"PK\x03\x04garbage", "damaged or truncated"),
    ],
)
def test_no_checkpoint(tmp_path, content, found):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=rf"w\.pth: expected .*checkpoint.*{re.escape(found)}.*download it again"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_truncated(tmp_path, zipped, share):
    path = tmp_path / "w.pth"
    torch.save({"model": {"weight": torch.zeros(1000)}}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"w\.pth: expected a whole PyTorch checkpoint.*damaged or truncated"):
        read_tensors(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"w\.pth: cannot be read .*--weights"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 7}, {"model": [torch.zeros(1)]}])
def test_no_mapping_of_tensors(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: expected a checkpoint with a mapping of names to tensors"):
        read_tensors(tmp_path / "w.pth")


def test_needed_tensors_come_in_order_and_without_the_rest(tmp_path):
    found = {"head": torch.zeros(4), "bias": STATE["bias"], "n.num_batches_tracked": torch.tensor(3)}
    tensors = require_tensors(tmp_path, "M", found | {"weight": STATE["weight"]}, SHAPES, {"head": (4,)})
    assert_is_state(tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": None}, r"'weight' of shape \[2, 3\] for M, found no such name among 1"),
        ({"weight": torch.zeros(3, 3)}, r"'weight' of shape \[2, 3\] for M, found one of \[3, 3\]"),
        ({"head": torch.zeros(5)}, r"2 tensors of M, found also 'head' of shape \[5\]"),
        ({"extra": torch.zeros(1)}, r"2 tensors of M, found also 'extra' of shape \[1\]"),
    ],
)
def test_other_model(tmp_path, change, message):
    found = {name: tensor for name, tensor in (STATE | change).items() if tensor is not None}
    with pytest.raises(InputError, match=rf"w\.pth: expected .*{message}.*of another model, give the one of M"):
        require_tensors(tmp_path / "w.pth", "M", found, SHAPES, {"head": (4,)})


def test_fold():
    """(3 x - 1) / sqrt(3 + 1) * 4 + 10 = 6 x + 8."""
    norm = {"weight": 4.0, "bias": 10.0, "running_mean": 1.0, "running_var": 3.0}
    tensors = {"c.weight": torch.full((1, 1, 1), 3.0)} | {f"n.{k}": torch.tensor([v]) for k, v in norm.items()}
    weight, bias = fold(tensors, "c", "n", 1.0)
    assert (weight.tolist(), bias.tolist()) == ([[[6.0]]], [8.0])


def test_digest_knows_architecture_names_shapes_and_values():
    tensors = dict(STATE)
    changed = [
        tensors | {"bias": torch.tensor([1.0, -1.0001])},
        tensors | {"weight": STATE["weight"].reshape(3, 2)},
        {"w": tensors["weight"], "bias": tensors["bias"]},
    ]
    digests = {tensors_digest("a", tensors), tensors_digest("b", tensors), *(tensors_digest("a", t) for t in changed)}
    assert len(digests) == 5
    assert tensors_digest("a", dict(STATE)) in digests
