"""From points to clips: one space, one machine, a score per clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.model_selection import KFold

from collab_asd.config import Pooling
from collab_asd.interfaces import AnomalyScorer, FloatArray, ScoreArray, SpaceScores
from collab_asd.scorers import ScorerSettings
from collab_asd.scorers.knn import KnnScorer

TOP_WINDOWS = 5


class ClipScorer:
    """Scores clips, each given as the embeddings of its windows ``[w, d]``, in one embedding space.

    With pooling ``"mean-embedding"`` a clip is one point, the mean of its windows. Otherwise every window is scored and
    the clip's score is their mean, their maximum, or the mean of the five highest (``"top-k"``).
    """

    def __init__(self, settings: ScorerSettings, pooling: Pooling | None = None) -> None:
        self._settings = settings
        self._pooling: Pooling = pooling or settings.pooling
        self._scorer: AnomalyScorer = settings.make()

    def fit(self, clips: Sequence[FloatArray]) -> Self:
        """Learn from normal clips."""
        self._scorer.fit(np.concatenate([self._points(clip) for clip in clips]))
        return self

    def score(self, clips: Sequence[FloatArray]) -> ScoreArray:
        """Anomaly score of each clip -> ``[n]``."""
        if not clips:
            return np.empty(0)
        points = [self._points(clip) for clip in clips]
        scores = self._scorer.score(np.concatenate(points))
        ends = np.cumsum([len(p) for p in points])
        return np.array([self._pooled(part) for part in np.split(scores, ends[:-1])])

    def held_out_scores(self, clips: Sequence[FloatArray]) -> ScoreArray:
        """Score normal clips by models that have not seen them -> ``[n]``: what a new normal clip would get.

        k-NN leaves out one clip at a time, others a tenth of the clips.
        """
        if len(clips) > 1 and self._pooling == "mean-embedding" and isinstance(self._scorer, KnnScorer):
            self.fit(clips)
            return self._scorer.score_left_out()  # the same as below, without fitting once per clip
        folds = min(self._scorer.held_out_folds or len(clips), len(clips))
        scores = np.zeros(len(clips))
        if folds < 2:
            return scores
        for seen, unseen in KFold(folds, shuffle=False).split(scores):
            model = ClipScorer(self._settings, self._pooling).fit([clips[i] for i in seen])
            scores[unseen] = model.score([clips[i] for i in unseen])
        return scores

    def _points(self, clip: FloatArray) -> FloatArray:
        return clip.mean(axis=0, keepdims=True) if self._pooling == "mean-embedding" else clip

    def _pooled(self, scores: ScoreArray) -> float:
        if self._pooling == "max":
            return float(scores.max())
        if self._pooling == "top-k":
            return float(np.sort(scores)[-TOP_WINDOWS:].mean())
        return float(scores.mean())


def score_space(
    settings: ScorerSettings, normal: Sequence[FloatArray], test: Sequence[FloatArray], pooling: Pooling | None = None
) -> SpaceScores:
    """Fit f_a on the normal clips of one machine and score its normals (held out) and its test clips."""
    scorer = ClipScorer(settings, pooling)
    return SpaceScores(normal=scorer.held_out_scores(normal), test=scorer.fit(normal).score(test))
