import copy

import pytest
import torch

from collab_asd.classifier.backbones import MobileFaceNet, map_size


def convolution(inputs: int, outputs: int, size: int) -> int:
    """Weights of a convolution without bias, its batch norm and its PReLU."""
    return inputs * outputs * size + 3 * outputs


def bottleneck(channels: int, out: int, expansion: int) -> int:
    wide = channels * expansion
    return convolution(channels, wide, 1) + convolution(1, wide, 9) + wide * out + 2 * out


def expected_parameters(height: int, width: int) -> int:
    stem = convolution(1, 64, 9) + convolution(1, 64, 9)
    blocks = 5 * bottleneck(64, 64, 2) + bottleneck(64, 128, 4) + 6 * bottleneck(128, 128, 2)
    blocks += bottleneck(128, 128, 4) + 2 * bottleneck(128, 128, 2)
    spatial = 512 * height * width + 2 * 512
    return stem + blocks + convolution(128, 512, 1) + spatial + 512 * 128 + 2 * 128


@pytest.mark.parametrize(
    ("stack", "dimension", "height", "width"), [(8, 1024, 1, 64), (32, 512, 2, 32), (64, 128, 4, 8)]
)
def test_shape_and_parameter_count(stack, dimension, height, width):
    network = MobileFaceNet(stack, dimension).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, stack, dimension)).shape == (2, 128)
    assert sum(p.numel() for p in network.parameters()) == expected_parameters(height, width)


def test_map_size_halves_four_times_rounding_up():
    assert [map_size(n) for n in (1, 16, 17, 90, 1024)] == [1, 1, 2, 6, 64]


def with_own_prelu(network):
    """Copy a network, with PyTorch's own PReLU everywhere."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, torch.nn.PReLU):
            module.__class__ = torch.nn.PReLU
    return network


def test_gradients_are_those_of_pytorchs_prelu():
    torch.manual_seed(0)
    network = MobileFaceNet(16, 32).double()
    images, gradient = torch.randn(3, 1, 16, 32, dtype=torch.float64), torch.randn(3, 128, dtype=torch.float64)
    own, theirs = (
        torch.autograd.grad(n(images), list(n.parameters()), gradient) for n in (network, with_own_prelu(network))
    )
    assert len(own) == len(theirs) > 100
    for ours, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-9)


def test_feature_maps_are_channels_last():
    maps = MobileFaceNet(16, 32).first(torch.zeros(2, 1, 16, 32))
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert not maps.is_contiguous()
