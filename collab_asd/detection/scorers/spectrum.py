"""Mahalanobis distance between summaries of spectra, of clips or of their segments, from a dozen clips or more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers.clip_scorer import by_folds
from collab_asd.detection.second_order import Others, SecondOrderModel, choose_weight


@dataclass
class SpectrumScorer:
    """`SecondOrderModel` as a scorer of the points of `collab_asd.detection.spectrum.ClipSpectrum`.

    Parameters
    ----------
    others : Others or None
        What the other machines of the group have told; None where the machine is on its own.
    weight : float or None
        Clips that the others count as much as; None: what predicts held-out clips best.
    """

    others: Others | None = None
    weight: float | None = None
    _model: SecondOrderModel = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Estimate mean and covariance of normal points ``[n, d]``."""
        self._model = SecondOrderModel.fit(points.astype(np.float64), self.others, self.weight)
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Distance of each point ``[n, d]`` to the mean -> ``[n]``."""
        return self._model.scores(points.astype(np.float64))

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, d]`` by models of contiguous folds; `clips` ranks them as they were recorded."""
        order = np.argsort(clips, kind="stable")
        scores, ordered = np.empty(len(points)), points[order]
        weight = choose_weight(ordered.astype(np.float64), self.others) if self.weight is None else self.weight
        scores[order] = by_folds(lambda: replace(self, weight=weight), ordered, clips[order])
        return scores
