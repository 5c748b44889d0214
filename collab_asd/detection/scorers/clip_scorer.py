"""From points to clips: one space, one machine, a score per clip.

Normal points are scored by models that have not seen them. Points may be taken to the unit sphere, where Euclidean
distance is a monotone function of cosine distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from collab_asd.config import Pooling
from collab_asd.core.types import AnomalyScorer, ClipNumbers, FloatArray, ScoreArray
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.detection.second_order import Others

TOP_WINDOWS = 5


class ClipScorer:
    """Scores clips, each given as the embeddings of its windows ``[w, d]``, in one embedding space.

    With pooling ``"mean-embedding"`` a clip is one point, the mean of its windows. Otherwise every window is scored and
    the clip's score is their mean, their maximum, or the mean of the five highest (``"top-k"``).
    """

    def __init__(self, settings: ScorerSettings, others: Others | None = None) -> None:
        self._pooling: Pooling = settings.pooling
        self._scorer: AnomalyScorer = settings.make(others)

    def fit(self, clips: Sequence[FloatArray]) -> Self:
        """Learn from normal clips."""
        self._scorer.fit(np.concatenate([self.points(clip) for clip in clips]))
        return self

    def score(self, clip: FloatArray) -> float:
        """Anomaly score of one clip.

        Clips are scored one at a time: many scorers round differently with the number of points that they are given.
        """
        return self._pooled(self._scorer.score(self.points(clip)))

    def held_out_scores(
        self, clips: Sequence[FloatArray], recorded: Sequence[int] = (), recordings: Sequence[int] = ()
    ) -> ScoreArray:
        """Score normal clips by models that have not seen them -> ``[n]``: what a new normal clip would get.

        k-NN leaves out one clip at a time, others a tenth of the clips: those that were `recorded` one after another
        (their ranks ``[n]``), by default those that stand together. Where several clips are from one of the
        `recordings` (their numbers ``[n]``), whole recordings are left out. A single clip gets the score 0.
        """
        if len(clips) < 2:
            return np.zeros(len(clips))
        points = [self.points(clip) for clip in clips]
        ranks = np.array(recorded or range(len(points)), np.int64)
        lengths = [len(p) for p in points]
        owners = np.repeat(ranks, lengths)
        unseen = np.repeat(np.array(recordings, np.int64), lengths) if recordings else owners
        scores = self._scorer.held_out(np.concatenate(points), unseen)
        return np.array([self._pooled(scores[owners == rank]) for rank in ranks])

    def points(self, clip: FloatArray) -> FloatArray:
        """Return the points ``[p, d]`` by which a clip is scored: all its windows, or their mean."""
        return clip.mean(axis=0, keepdims=True) if self._pooling == "mean-embedding" else clip

    def _pooled(self, scores: ScoreArray) -> float:
        if self._pooling == "max":
            return float(scores.max())
        if self._pooling == "top-k":
            return float(np.sort(scores)[-TOP_WINDOWS:].mean())
        return float(scores.mean())


FOLDS = 10


def by_folds(unfitted: Callable[[], AnomalyScorer], points: FloatArray, clips: ClipNumbers) -> ScoreArray:
    """Score normal points ``[n, d]`` by models fitted to nine tenths of the clips that do not include theirs.

    Parameters
    ----------
    unfitted : callable
        Builds a scorer.
    points : FloatArray
    clips : ClipNumbers
        ``[n]``: the clip that each point is from.
    """
    scores = np.empty(len(points))
    numbers = np.unique(clips)
    for unseen in np.array_split(numbers, min(FOLDS, len(numbers))):
        out = np.isin(clips, unseen)
        scores[out] = unfitted().fit(points[~out]).score(points[out])
    return scores


def unit_length(points: FloatArray) -> FloatArray:
    """Scale each row of ``[n, d]`` to length 1; a zero row stays zero.

    Examples
    --------
    >>> unit_length(np.array([[3.0, 4.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
