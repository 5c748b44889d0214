"""What a client and the server compute in federated averaging of an ID classifier, on tensors: no messages.

With one class per client, ArcFace has only positive examples: whatever pulls all embeddings to one point solves it.
What becomes of the matrix of class directions is the open question, so there are three answers:

========== =========================================================================================================
naive      The matrix is part of the model: every client trains all of it on its own class, and it is averaged.
anchors    The matrix is fixed: orthogonal directions, the same for all, so that classes cannot collapse onto one.
fedaws     A client pulls its embeddings to its own direction only; the server takes each direction from its owner and
           pushes the directions apart (Yu et al.).
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
from torch.nn import functional as F

from collab_asd.config import ClassHead
from collab_asd.id_classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.id_classifier.sampling import statistics_from_sums
from collab_asd.id_classifier.training import new_classifier
from collab_asd.interfaces import FloatArray

Arrays = dict[str, NDArray[Any]]
STEP_COUNTER = "num_batches_tracked"  # of batch normalisation; nothing depends on it
SPREAD_MARGIN, SPREAD_STEPS, SPREAD_RATE = 1.0, 10, 0.1


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


def pooled_statistics(parts: Sequence[Mapping[str, NDArray[Any]]]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation ``[D]`` of all clients' frames from each one's sums, as if they lay in one place."""
    count = sum(float(part["count"][()]) for part in parts)
    total, squares = (np.sum([part[name] for part in parts], axis=0) for name in ("sum", "squares"))
    return statistics_from_sums(count, total, squares)


def frame_sums(clips: Sequence[FloatArray]) -> Arrays:
    """Return what `pooled_statistics` needs of one client: number of frames, their sums and sums of squares ``[D]``."""
    return {
        "count": np.array(float(sum(map(len, clips)))),
        "sum": np.sum([clip.sum(axis=0, dtype=np.float64) for clip in clips], axis=0),
        "squares": np.sum([np.square(clip, dtype=np.float64).sum(axis=0) for clip in clips], axis=0),
    }


def take_apart(model: IdClassifier) -> tuple[Arrays, Arrays]:
    """Divide a model's arrays into what is trained, class directions included, and buffers.

    Buffers are statistics, not weights: an adaptive server optimizer that stepped along their change would make
    variances negative. They are always averaged plainly.
    """
    trained = {name for name, _ in model.named_parameters()} | {"directions"}
    arrays = {name: array for name, array in to_arrays(model).items() if not name.endswith(STEP_COUNTER)}
    return (
        {name: array for name, array in arrays.items() if name in trained},
        {name: array for name, array in arrays.items() if name not in trained},
    )


def put_together(
    settings: ClassifierSettings, trained: Mapping[str, NDArray[Any]], buffers: Mapping[str, NDArray[Any]]
) -> IdClassifier:
    """Rebuild the model that `take_apart` divided."""
    counters = {name: array for name, array in to_arrays(IdClassifier(settings)).items() if name.endswith(STEP_COUNTER)}
    return from_arrays(settings, {**counters, **trained, **buffers})


def spread_out(directions: FloatArray) -> FloatArray:
    """Push class directions ``[128, C]`` apart: FedAwS's regularizer, ten steps of gradient descent at the server.

    Minimizes the sum over pairs of ``max(0, 1 - |w_i - w_j|)^2`` of unit vectors; such farther apart are left alone.
    """
    w = torch.tensor(directions, requires_grad=True)
    for _ in range(SPREAD_STEPS):
        unit = F.normalize(w, dim=0)
        gaps = torch.pdist(unit.T)
        (gradient,) = torch.autograd.grad(F.relu(SPREAD_MARGIN - gaps).square().sum(), w)
        w = (w - SPREAD_RATE * gradient).detach().requires_grad_()
    return w.detach().numpy()
