"""What the server of federated averaging computes, on tensors: no messages.

One round, as Flower's strategies conduct it::

    for each client k:  w_k, b_k = take_apart(fit(put_together(w, b), clips of k))
    w = the strategy's step from w, by the w_k;  b = weighted_mean(b_k, number of clips of k)

FedAvg's step is ``weighted_mean(w_k, …)``, too. A client trains by `collab_asd.classifier.training.fit`; what becomes
of the class directions is told in `baselines.client_training.rounds`.

References
----------
H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-efficient learning of deep networks
from decentralized data", AISTATS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from baselines.client_training.rounds import Arrays
from collab_asd.classifier.model import ClassifierSettings, IdClassifier, from_arrays, to_arrays
from collab_asd.core.types import FloatArray

SPREAD_MARGIN, SPREAD_STEPS, SPREAD_RATE = 1.0, 10, 0.1


def take_apart(model: IdClassifier) -> tuple[Arrays, Arrays]:
    """Divide a model's arrays into what is trained, class directions included, and buffers.

    Buffers are statistics, not weights: an adaptive server optimizer that stepped along their change would make
    variances negative. They are always averaged plainly.
    """
    trained = {name for name, _ in model.named_parameters()} | {"directions"}
    arrays = to_arrays(model)
    return (
        {name: array for name, array in arrays.items() if name in trained},
        {name: array for name, array in arrays.items() if name not in trained},
    )


def put_together(
    settings: ClassifierSettings, trained: Mapping[str, NDArray[Any]], buffers: Mapping[str, NDArray[Any]]
) -> IdClassifier:
    """Rebuild the model that `take_apart` divided."""
    return from_arrays(settings, {**trained, **buffers})


def weighted_mean(parts: Sequence[Mapping[str, NDArray[Any]]], weights: Sequence[float]) -> Arrays:
    """Average arrays by weights, term by term as Flower's strategies do, so that not even rounding differs."""
    shares = [weight / sum(weights) for weight in weights]
    return {name: np.asarray(sum(p[name] * s for p, s in zip(parts, shares, strict=True))) for name in parts[0]}


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
