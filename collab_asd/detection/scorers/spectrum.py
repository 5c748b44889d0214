"""Mahalanobis distance between summaries of spectra, from a dozen clips or more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from collab_asd.core.types import ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.second_order import Others, SecondOrderModel, choose_weight, held_out_scores


@dataclass
class SpectrumScorer:
    """`SecondOrderModel` as a scorer of the points of `collab_asd.detection.spectrum.ClipSpectrum`.

    Parameters
    ----------
    others : Others or None
        What the other machines of the group have told; None where the machine is on its own.
    """

    others: Others | None = None
    _model: SecondOrderModel = field(init=False, repr=False)

    def fit(self, points: FloatArray) -> Self:
        """Estimate mean and covariance of normal points ``[n, 256]``."""
        exact = points.astype(np.float64)
        self._model = SecondOrderModel.fit(exact, self.others, choose_weight(exact, self.others))
        return self

    def score(self, points: FloatArray) -> ScoreArray:
        """Distance of each point ``[n, 256]`` to the mean -> ``[n]``."""
        return self._model.scores(points.astype(np.float64))

    def held_out(self, points: FloatArray, clips: ClipNumbers) -> ScoreArray:
        """Score normal points ``[n, 256]`` by models of contiguous folds; `clips` ranks them as they were recorded."""
        order = np.argsort(clips, kind="stable")
        scores = np.empty(len(points))
        scores[order] = held_out_scores(points[order].astype(np.float64), self.others)
        return scores
