"""The space of clip features in a detector: a machine's own covariance, and the others' behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from collab_asd.core.types import FloatArray, ScoreArray
from collab_asd.detection.detector import Space
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.detection.second_order import FusedModel, SecondOrderModel


class SecondOrderSpace(Space):
    """Clips are `clip_features`, whatever the encoder, and score as a `FusedModel` says.

    Parameters
    ----------
    model : FusedModel
    normals : sequence of FloatArray
        ``[1, 256]`` of each normal clip.
    held_out : ScoreArray
        ``[n]``: how new normal clips score.
    """

    def __init__(self, model: FusedModel, normals: Sequence[FloatArray], held_out: ScoreArray) -> None:
        self.classifier, self.codec, self.others, self.trained = None, None, None, 0
        self.settings = ScorerSettings("mahalanobis", average="spectrum")
        self.model, self.normals, self.held_out = model, list(normals), held_out

    def score(self, embedding: FloatArray) -> float:
        """Anomaly score of one clip, given as `embed` returns it."""
        return float(self.model.scores(embedding)[0])

    def distances(self, embedding: FloatArray) -> ScoreArray:
        """Distance of one clip to each normal clip -> ``[n]``, in units of the normal clips' variation."""
        return self.model.pooled.distances(np.concatenate(self.normals), embedding)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Lay the model out, for a file of a detector."""
        parts = {"pooled": self.model.pooled, "local": self.model.local}
        arrays = {f"{name}/{f.name}": np.asarray(getattr(m, f.name)) for name, m in parts.items() for f in fields(m)}
        own = {name: np.asarray(getattr(self.model, name)) for name in ("means", "deviations", "local_weight")}
        return arrays | own

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], normals: Sequence[FloatArray], held_out: ScoreArray
    ) -> Self:
        """Rebuild what `to_arrays` laid out."""

        def model_of(name: str) -> SecondOrderModel:
            mean, deviations, root, weight = (arrays[f"{name}/{field.name}"] for field in fields(SecondOrderModel))
            return SecondOrderModel(mean, deviations, root, float(weight))

        pooled, local = model_of("pooled"), model_of("local")
        model = FusedModel(pooled, local, arrays["means"], arrays["deviations"], float(arrays["local_weight"]))
        return cls(model, normals, held_out)
