"""Detectors of random clips, with random classifiers: small, and not one number in them is round."""

import functools

import numpy as np
import pytest
import torch

from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.core.types import MachineFrames
from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.detection.storage import DetectorCard

DIMENSION, NORMALS = 8, 11


def random_clips(seed, count):
    """Frames of clips of several lengths, one of them shorter than a window of f_s."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3 + 4 * (i % 4), DIMENSION)).astype(np.float32) for i in range(count)]


@functools.cache
def random_classifier(backbone):
    model = IdClassifier(ClassifierSettings(backbone, DIMENSION, stack=4, stack_hop=2, classes=3))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                uniform = torch.rand(tensor.shape, generator=generator)
                fan_in = tensor[0].numel() if tensor.dim() > 1 else 0
                tensor.copy_((uniform - 0.5) * (12 / fan_in) ** 0.5 if fan_in else 0.5 + uniform)
    return model.eval()


@pytest.fixture(scope="session")
def clips():
    """Frames of clips that no detector has seen."""
    return random_clips(1, 5)


@pytest.fixture(scope="session")
def make_detector():
    """Fit a detector: in the space of f_s, in that of f_c (no backbone), or, where its scores are fused, in both."""

    def make(name="knn", pooling="mean-embedding", backbone=None, fused=False, metric="euclidean", seed=0):
        machine = MachineFrames(0, 0, random_clips(seed, NORMALS))
        settings = ScorerSettings(name, metric, pooling)
        shared = Space.fit(machine, settings, backbone and random_classifier(backbone))
        return Detector((shared, Space.fit(machine, settings)) if fused else (shared,))

    return make


@pytest.fixture
def card():
    return DetectorCard(
        machine_type="Lüfter",
        machine_id="A/7",
        encoder="logmel",
        encoder_digest="0" * 64,
        encoder_weights="",
        seed=3,
        channel=2,
        sample_rate=16000,
        threshold=0.1 + 0.2,
        false_alarm_rate=0.05,
        thresholding="gamma",
        data_dir="/data/Halle 4",
        normals=tuple(f"Lüfter/train/normal_id_07_{i}.wav" for i in range(NORMALS)),
    )
