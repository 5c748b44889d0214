"""One embedding space in which a detector scores a machine's clips."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from collab_asd.codecs import Codec
from collab_asd.id_classifier.model import IdClassifier
from collab_asd.interfaces import FloatArray, MachineFrames, ScoreArray, SpaceScores
from collab_asd.logmel import log_mel
from collab_asd.scorers import Average, ScorerSettings
from collab_asd.scorers.clip_scorer import ClipScorer


class Space:
    """How a clip gets into an embedding space, where the machine's normal clips lie there, and how they score.

    Parameters
    ----------
    classifier : IdClassifier or None
        f_s; None for the client's own space of f_c, where a clip is the `mean_frame`.
    settings : ScorerSettings
    normals : sequence of FloatArray
        Embeddings ``[w, d]`` of the machine's normal clips.
    held_out : ScoreArray
        ``[n]``: scores of normal clips by models that had not seen them.
    codec : Codec, optional
        What frames went through on their way to f_s: it was trained on what is left of them, and sees no more here.
    """

    def __init__(
        self,
        classifier: IdClassifier | None,
        settings: ScorerSettings,
        normals: Sequence[FloatArray],
        held_out: ScoreArray,
        codec: Codec | None = None,
    ) -> None:
        self.classifier, self.settings, self.held_out, self.codec = classifier, settings, held_out, codec
        self._scorer = ClipScorer(settings).fit(normals)
        self.normals = [self._scorer.points(clip) for clip in normals]

    @classmethod
    def fit(
        cls,
        machine: MachineFrames,
        settings: ScorerSettings,
        classifier: IdClassifier | None = None,
        codec: Codec | None = None,
    ) -> Space:
        """Build the space of f_s, or of f_c without a classifier, from one machine's normal clips.

        Its held-out scores are those of the calibration clips, which f_s has not seen; of all normal clips where none
        were kept for calibration.
        """
        clips = chain(machine.normal, machine.calibration)
        normals = [_embed(classifier, codec, settings.average, frames) for frames in clips]
        held_out = ClipScorer(settings).held_out_scores(normals)
        unseen = held_out[len(machine.normal) if machine.calibration else 0 :]
        return cls(classifier, settings, normals, unseen, codec)

    @property
    def name(self) -> str:
        """``"f_s"``, the shared space, or ``"f_c"``, the client's own."""
        return "f_c" if self.classifier is None else "f_s"

    def embed(self, frames: FloatArray) -> FloatArray:
        """Bring one clip, frames ``[T, D]`` of f_c, into this space -> ``[w, d]``."""
        return _embed(self.classifier, self.codec, self.settings.average, frames)

    def score(self, embedding: FloatArray) -> float:
        """Anomaly score of one clip, given as `embed` returns it."""
        return self._scorer.score(embedding)

    def scores(self, embeddings: Sequence[FloatArray]) -> SpaceScores:
        """Anomaly scores of clips, given as `embed` returns them, beside those of held-out normals."""
        return SpaceScores(normal=self.held_out, test=np.array([self.score(e) for e in embeddings], np.float64))

    def predicted_class(self, embedding: FloatArray) -> int | None:
        """Return the class that f_s gives to a clip, as `embed` returns it; None in the space of f_c."""
        return None if self.classifier is None else self.classifier.predict(embedding)

    def distances(self, embedding: FloatArray) -> ScoreArray:
        """Distance of one clip to each normal clip -> ``[n]``, both as means of their windows."""
        normals = np.stack([clip.mean(axis=0) for clip in self.normals])
        return np.asarray(np.linalg.norm(normals - embedding.mean(axis=0), axis=1), np.float64)


def mean_frame(frames: FloatArray, average: Average) -> FloatArray:
    """Mean of a clip's frames ``[T, D]`` of f_c -> ``[D]``, or of the log-mel spectrum of the samples in them."""
    if average == "log-mel":
        frames = log_mel(torch.tensor(frames.reshape(-1))).numpy()
    return np.asarray(frames.mean(axis=0, dtype=np.float64), dtype=np.float32)


def _embed(classifier: IdClassifier | None, codec: Codec | None, average: Average, frames: FloatArray) -> FloatArray:
    if classifier is not None:
        return classifier.embed(frames if codec is None else codec.round_trip(frames))
    return mean_frame(frames, average)[np.newaxis]
