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
