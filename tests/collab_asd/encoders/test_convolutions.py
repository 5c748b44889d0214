import pytest
import torch

from collab_asd.encoders import convolutions as winograd
from collab_asd.encoders.convolutions import Winograd


@pytest.mark.parametrize("strip", [1, 10, 1000])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 6), (13, 23), (2, 3)])
@pytest.mark.parametrize(("rectified", "pooled"), [(False, False), (True, False), (True, True)])
def test_is_the_direct_convolution(monkeypatch, strip, height, width, rectified, pooled):
    monkeypatch.setattr(winograd, "STRIP", strip)
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(2, 3, height, width, generator=draw, dtype=torch.float64)
    weight = torch.randn(5, 3, 3, 3, generator=draw, dtype=torch.float64)
    bias = torch.randn(5, generator=draw, dtype=torch.float64)
    expected = torch.conv2d(x, weight, bias, padding=1)
    expected = expected.relu() if rectified else expected
    expected = torch.max_pool2d(expected, 2) if pooled else expected
    found = Winograd(weight, bias, rectified=rectified, pooled=pooled)(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
