"""How clients train in rounds: how many, what each does in one, and the model that round 1 begins with.

With one class per client, ArcFace has only positive examples: whatever pulls all embeddings to one point solves it for
that client. So there are three answers to what becomes of the matrix of class directions:

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

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import statistics_from_sums
from collab_asd.classifier.settings import PRESETS, Head, TrainingSettings, learning_rate_of
from collab_asd.classifier.training import new_classifier
from collab_asd.config import ClassHead, RunConfig
from collab_asd.core.types import FloatArray

log = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]
HEADS: dict[ClassHead, Head] = {"naive": "arcface", "anchors": "fixed", "fedaws": "positive"}
FAST_ROUNDS, FAST_BATCH, FAST_LEARNING_RATE = 21, 32, 1e-3
CLASS_CLIPS = "class-clips"  # in a message: training clips of each class at all clients together
FEWEST_WINDOWS = 2  # one alone has no batch statistics


@dataclass(frozen=True)
class RoundSettings:
    """Rounds, and a client's training in each.

    Parameters
    ----------
    rounds : int
    training : TrainingSettings
        Of one client in one round. Windows seen in all are those of embedding sharing with the same preset.
    """

    rounds: int
    training: TrainingSettings


def settings_of(config: RunConfig, proximal: float = 0.0, share: float = 1.0) -> RoundSettings:
    """Read the settings out of a run's configuration.

    ``fast`` cuts the 3 x 700 windows of each class that embedding sharing sees into 21 rounds of 100, ``paper`` its 20
    epochs into 20 rounds of one. The learning rate stays the same over a round: a cycle within each would end every
    round with steps that are lost in the average. A client that holds a `share` of its classes' clips draws that share
    of the windows: however clips are spread over clients, they see as many in all.
    """
    preset = PRESETS[config.preset]
    training = replace(
        preset,
        epochs=1,
        head=HEADS[config.class_head],
        proximal=proximal,
        normalization=config.normalization,
        optimizer=config.optimizer,
    )
    if config.preset == "paper":
        rate = learning_rate_of(config, preset.learning_rate)
        return RoundSettings(config.rounds or preset.epochs, replace(training, learning_rate=rate))
    rounds = config.rounds or FAST_ROUNDS
    in_all = preset.epochs * (preset.windows_per_class or 0)
    windows = in_all // rounds
    if windows < FEWEST_WINDOWS:
        _warn_of_windows(rounds, in_all)
    own_windows = max(FEWEST_WINDOWS, round(share * windows))
    rate = learning_rate_of(config, FAST_LEARNING_RATE)
    return RoundSettings(
        rounds,
        replace(training, windows_per_class=own_windows, batch=FAST_BATCH, one_cycle=False, learning_rate=rate),
    )


@lru_cache
def _warn_of_windows(rounds: int, windows: int) -> None:
    """Warn once in each process."""
    log.warning(
        "rounds = %d: with %d windows of a class in each, more than the %d that embedding sharing sees; set at most %d",
        rounds, FEWEST_WINDOWS, windows, windows // FEWEST_WINDOWS,
    )  # fmt: skip


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
