import torch

from collab_asd.classifier.backbones import LightNet


def test_embeds_windows_of_any_length():
    network = LightNet(dimension=20).eval()
    with torch.inference_mode():
        assert network(torch.zeros(3, 1, 8, 20)).shape == (3, 128)
        assert network(torch.zeros(3, 1, 1, 20)).shape == (3, 128)
