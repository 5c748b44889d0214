"""A machine's anomaly detector: frames of one clip in, one anomaly score out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collab_asd.detectors.space import Space
from collab_asd.interfaces import FloatArray, ScoreArray, SpaceScores
from collab_asd.scorers.fusion import fuse

Embedded = tuple[FloatArray, ...]
"""One clip in each space of a detector."""


@dataclass(frozen=True)
class Detector:
    """How a machine is scored.

    Parameters
    ----------
    spaces : tuple of Space
        Their scores are fused (`collab_asd.scorers.fusion`) where there are several.
    levels : FloatArray or None
        ``[n, 17]``: what the normal clips' recordings sound like to no encoder (`collab_asd.monitoring.origin`); None
        in detectors of earlier versions. No score depends on it.
    """

    spaces: tuple[Space, ...]
    levels: FloatArray | None = None

    @property
    def normal_scores(self) -> ScoreArray:
        """Scores ``[n]`` of normal clips that the detector had not seen: what new normal clips will get."""
        return self.scores([]).normal

    def embed(self, frames: FloatArray) -> Embedded:
        """Bring one clip, frames ``[T, D]`` of f_c, into each space."""
        return tuple(space.embed(frames) for space in self.spaces)

    def scores(self, clips: Sequence[Embedded]) -> SpaceScores:
        """Anomaly scores of clips, given as `embed` returns them, beside those of held-out normals."""
        by_space = [[clip[i] for clip in clips] for i in range(len(self.spaces))]
        return fuse([space.scores(points) for space, points in zip(self.spaces, by_space, strict=True)])

    def score(self, clip: Embedded) -> float:
        """Anomaly score of one clip; higher is more anomalous."""
        return float(self.scores([clip]).test[0])

    def nearest(self, clip: Embedded) -> int:
        """Index of the normal clip that is nearest: by the sum over spaces of relative distances."""
        distances = [space.distances(points) for space, points in zip(self.spaces, clip, strict=True)]
        relative = [d / d.mean() for d in distances if d.any()]
        return int(np.argmin(np.sum(relative, axis=0))) if relative else 0

    def predicted_class(self, clip: Embedded) -> int | None:
        """Return the class that f_s, in the first space, gives to a clip; None without f_s."""
        return self.spaces[0].predicted_class(clip[0])
