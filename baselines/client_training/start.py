"""The model that round 1 begins with, on tensors: no messages.

With one class per client, ArcFace has only positive examples: whatever pulls all embeddings to one point solves it.
What becomes of the matrix of class directions is the open question, so there are three answers:

========== =========================================================================================================
naive      The matrix is part of the model and trained by whoever computes the loss, on the classes that are there.
anchors    The matrix is fixed: orthogonal directions, the same for all, so that classes cannot collapse onto one.
fedaws     A client pulls its embeddings to its own direction only; the server takes each direction from its owner and
           pushes the directions apart (Yu et al.). Of federated averaging alone.
========== =========================================================================================================

References
----------
F. X. Yu, A. S. Rawat, A. K. Menon, S. Kumar, "Federated learning with only positive labels", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import statistics_from_sums
from collab_asd.classifier.training import new_classifier
from collab_asd.config import ClassHead
from collab_asd.core.types import FloatArray

Arrays = dict[str, NDArray[Any]]


def start_model(
    settings: ClassifierSettings, mean: FloatArray, deviation: FloatArray, head: ClassHead, seed: int
) -> IdClassifier:
    """Make the model that round 1 begins with; class directions are orthogonal for ``"anchors"``."""
    model = new_classifier(settings, mean, deviation, seed)
    if head == "anchors":
        with torch.no_grad():
            orthogonal, _ = torch.linalg.qr(model.directions)  # [128, C], C <= 128
            model.directions[:, : orthogonal.shape[1]] = orthogonal
    return model


def frame_sums(clips: Sequence[FloatArray]) -> Arrays:
    """Return what `pooled_statistics` needs of one client: number of frames, their sums and sums of squares ``[D]``."""
    return {
        "count": np.array(float(sum(map(len, clips)))),
        "sum": np.sum([clip.sum(axis=0, dtype=np.float64) for clip in clips], axis=0),
        "squares": np.sum([np.square(clip, dtype=np.float64).sum(axis=0) for clip in clips], axis=0),
    }


def pooled_statistics(parts: Sequence[Mapping[str, NDArray[Any]]]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation ``[D]`` of all clients' frames from each one's sums, as if they lay in one place."""
    count = sum(float(part["count"][()]) for part in parts)
    total, squares = (np.sum([part[name] for part in parts], axis=0) for name in ("sum", "squares"))
    return statistics_from_sums(count, total, squares)
