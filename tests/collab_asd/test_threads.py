"""Devices that a machine has, and those that it lacks."""

from types import SimpleNamespace

import pytest
import torch

from collab_asd.core.errors import InputError
from collab_asd.core.runtime import resolve_device


@pytest.fixture
def devices(monkeypatch):
    """As if this machine had so many devices of any kind."""

    def have(count):
        module = SimpleNamespace(is_available=lambda: count > 0, device_count=lambda: count)
        monkeypatch.setattr(torch, "get_device_module", lambda kind: module)

    return have


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_there_is_accepted(devices, name):
    devices(2)
    assert resolve_device(name) == name


@pytest.mark.parametrize(("there", "chosen"), [(["cuda", "mps"], "cuda"), (["mps"], "mps"), ([], "cpu")])
def test_auto_takes_the_best_there_is(monkeypatch, there, chosen):
    def module(kind):
        return SimpleNamespace(is_available=lambda: kind in there, device_count=lambda: int(kind in there))

    monkeypatch.setattr(torch, "get_device_module", module)
    assert resolve_device("auto") == chosen


@pytest.mark.parametrize(("count", "name"), [(0, "cuda"), (0, "mps"), (2, "cuda:2"), (0, "xpu:0")])
def test_a_device_that_is_not_there_is_named(devices, count, name):
    devices(count)
    with pytest.raises(InputError, match=f"device = '{name}'"):
        resolve_device(name)
