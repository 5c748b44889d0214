"""Group normalisation: where it stands, and that a window's embedding does not depend on its batch."""

import pytest
import torch
from torch import nn

from collab_asd.classifier.model import BACKBONES, ClassifierSettings, IdClassifier, group_normalized

SIZES = {"light": 12, "mobilefacenet": 16, "stgram-light": 512, "stgram-mfn": 512}


def model(backbone, normalization):
    stack = 17 if backbone.startswith("stgram") else 16
    torch.manual_seed(0)
    return IdClassifier(ClassifierSettings(backbone, SIZES[backbone], stack, 4, 3, normalization)).train()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_in_training_a_window_is_embedded_as_if_it_were_alone(backbone):
    windows = torch.randn(4, 17 if backbone.startswith("stgram") else 16, SIZES[backbone])
    grouped = model(backbone, "group")
    alone = torch.cat([grouped(window[None]) for window in windows])
    assert torch.allclose(grouped(windows), alone, atol=1e-4)
    mixed = model(backbone, "batch")
    assert not torch.allclose(mixed(windows)[:2], mixed(windows[:2]), atol=1e-2)


def test_sixteen_channels_are_a_group():
    network = group_normalized(nn.Sequential(nn.BatchNorm2d(64), nn.Sequential(nn.BatchNorm1d(8)), nn.ReLU()))
    assert [(layer.num_groups, layer.num_channels) for layer in (network[0], network[1][0])] == [(4, 64), (1, 8)]
    x = torch.randn(1, 64, 3, 5)
    group = x[0, :16]
    assert torch.allclose(
        network[0](x)[0, :16], (group - group.mean()) / (group.var(correction=0) + 1e-5).sqrt(), atol=1e-5
    )
