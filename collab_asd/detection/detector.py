"""A machine's anomaly detector: frames of one clip in, one anomaly score out, from one or more embedding spaces.

The points of its clips before and after f_s, which the report's map is drawn from, stay with the client as the detector
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from collab_asd.classifier.model import IdClassifier
from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.torch_audio import log_mel
from collab_asd.core.types import FloatArray, MachineFrames, ScoreArray, SpaceScores
from collab_asd.detection.scorers import SHORT_EVENTS, Average, ClipScorer, ScorerSettings, fuse
from collab_asd.detection.second_order import Others, whole_clips
from collab_asd.wire.codecs import Codec


class Space:
    """How a clip gets into an embedding space, where the machine's normal clips lie there, and how they score.

    Parameters
    ----------
    classifier : IdClassifier or None
        f_s; None for a space of the client's own: of f_c or of spectra, as the settings' `average` says.
    settings : ScorerSettings
    codec : Codec, optional
        What frames went through on their way to f_s: it was trained on what is left of them, and sees no more here.
    others : Others, optional
        In a space of spectra, how the clips of other machines vary.

    Attributes
    ----------
    normals : list of FloatArray
        Points ``[p, d]`` of the machine's normal clips, from `learn`.
    held_out : ScoreArray
        ``[n]``: scores of normal clips by models that had not seen them.
    trained : int
        How many of the first clips of `held_out` f_s was trained on.
    """

    normals: list[FloatArray]
    held_out: ScoreArray
    trained: int

    def __init__(
        self,
        classifier: IdClassifier | None,
        settings: ScorerSettings,
        codec: Codec | None = None,
        others: Others | None = None,
    ) -> None:
        self.classifier, self.settings, self.codec, self.others = classifier, settings, codec, others
        self._scorer = ClipScorer(settings, others)

    def learn(self, normals: Sequence[FloatArray], held_out: ScoreArray, trained: int = 0) -> Self:
        """Fit the scorer to the embeddings ``[w, d]`` of the machine's normal clips, and keep their held-out scores."""
        self._scorer.fit(normals)
        self.normals = [self._scorer.points(clip) for clip in normals]
        self.held_out, self.trained = held_out, trained
        return self

    @classmethod
    def fit(
        cls,
        machine: MachineFrames,
        settings: ScorerSettings,
        classifier: IdClassifier | None = None,
        codec: Codec | None = None,
        others: Others | None = None,
    ) -> Self:
        """Build the space of f_s, or the client's own without a classifier, from one machine's normal clips.

        Its held-out scores are those of the calibration clips, which f_s has not seen; of all normal clips where none
        were kept for calibration. With a `half_weight` they are always those of all normal clips: the fusion then tells
        the ones that f_s was trained on from the others.

        Raises
        ------
        InputError
            It is a space of spectra, and the machine comes without.
        """
        space = cls(classifier, settings, codec, others if settings.half_weight is not None else None)
        if not space.reads_spectrum:
            normals = list(map(space.embed, chain(machine.normal, machine.calibration)))
        elif machine.spectra is None:
            raise InputError(NO_SPECTRUM)
        else:
            summaries = chain(machine.spectra.normal, machine.spectra.calibration)
            normals = [_points_of(summary, settings.average) for summary in summaries]
        scorer = ClipScorer(settings, space.others)
        if settings.half_weight is not None:
            held_out = scorer.held_out_scores(normals, machine.recorded, machine.recordings)
            return space.learn(normals, held_out, 0 if classifier is None else len(machine.normal))
        held_out = scorer.held_out_scores(normals, recordings=machine.recordings)
        return space.learn(normals, held_out[len(machine.normal) if machine.calibration else 0 :])

    @property
    def name(self) -> str:
        """``"f_s"``, the shared space, or the client's own: ``"f_c"``, ``"spectrum"``, ``"levels"``, ``"segments"``."""
        if self.classifier is None:
            return self.settings.average if self.reads_spectrum else "f_c"
        return "f_s"

    @property
    def reads_spectrum(self) -> bool:
        """Whether a clip is given by the summary of its spectrum, and not by frames of f_c."""
        return self.classifier is None and self.settings.reads_spectrum

    def embed(self, frames: FloatArray, spectrum: FloatArray | None = None) -> FloatArray:
        """Bring one clip into this space -> ``[w, d]``.

        Parameters
        ----------
        frames : FloatArray
            ``[T, D]`` of f_c.
        spectrum : FloatArray, optional
            ``[2 + segments, 128]`` of `collab_asd.detection.second_order.ClipSpectrum`, for spaces that read it.

        Raises
        ------
        InputError
            It is missing.
        """
        if self.classifier is not None:
            return self.classifier.embed(frames if self.codec is None else self.codec.round_trip(frames))
        if not self.reads_spectrum:
            return mean_frame(frames, self.settings.average)[np.newaxis]
        if spectrum is None:
            raise InputError(NO_SPECTRUM)
        return _points_of(spectrum, self.settings.average)

    def score(self, embedding: FloatArray) -> float:
        """Anomaly score of one clip, given as `embed` returns it."""
        return self._scorer.score(embedding)

    def scores(self, embeddings: Sequence[FloatArray]) -> SpaceScores:
        """Anomaly scores of clips, given as `embed` returns them, beside those of held-out normals."""
        view = ""
        if self.reads_spectrum:
            view = "spectra, alone" if self.others is None else "spectra, with others"
        if self.reads_spectrum and self.settings.average == "segments":
            view = SHORT_EVENTS
        test = np.array(list(map(self._scorer.score, embeddings)), np.float64)
        return SpaceScores(self.held_out, test, self.trained, view)

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


def _points_of(summary: FloatArray, average: Average) -> FloatArray:
    """Take the points ``[p, d]`` of a space of spectra out of a clip's summary ``[2 + segments, 128]``."""
    if average == "segments":
        return summary[2:]
    return summary[:1] if average == "levels" else whole_clips([summary])


NO_SPECTRUM = (
    "the client's own score looks at the log-mel spectrum of each recording, and only frames of an encoder are given: "
    "give the spectra, too, or set local-features = encoder"
)

Embedded = tuple[FloatArray, ...]
"""One clip in each space of a detector."""


@dataclass(frozen=True)
class Detector:
    """How a machine is scored.

    Parameters
    ----------
    spaces : tuple of Space
        Their scores are fused (`collab_asd.detection.scorers`) where there are several.
    levels : FloatArray or None
        ``[n, 17]``: what the normal clips' recordings sound like to no encoder (`collab_asd.detection.origin`); None
        in detectors of earlier versions. No score depends on it.
    """

    spaces: tuple[Space, ...]
    levels: FloatArray | None = None

    @property
    def normal_scores(self) -> ScoreArray:
        """Scores ``[n]`` of normal clips that the detector had not seen: what new normal clips will get."""
        return self.scores([]).normal

    @property
    def reads_spectrum(self) -> bool:
        """Whether `embed` needs the summary of a clip's spectrum, too."""
        return any(space.reads_spectrum for space in self.spaces)

    def embed(self, frames: FloatArray, spectrum: FloatArray | None = None) -> Embedded:
        """Bring one clip, frames ``[T, D]`` of f_c and the summary of its spectrum, into each space: `Space.embed`."""
        embedded = []
        for space in self.spaces:
            embedded.append(space.embed(frames, spectrum))
        return tuple(embedded)

    def embed_tests(self, machine: MachineFrames) -> list[Embedded]:
        """Bring the test clips of a machine into each space."""
        if machine.spectra is None:
            return list(map(self.embed, machine.test))
        return list(starmap(self.embed, zip(machine.test, machine.spectra.test, strict=True)))

    def scores(self, clips: Sequence[Embedded]) -> SpaceScores:
        """Anomaly scores of clips, given as `embed` returns them, beside those of held-out normals."""
        return fuse(self.scores_by_space(clips), self.half_weights)

    def scores_by_space(self, clips: Sequence[Embedded]) -> list[SpaceScores]:
        """Anomaly scores in each space, before they are fused; parameters as of `scores`."""
        scores = []
        for i, space in enumerate(self.spaces):
            scores.append(space.scores([clip[i] for clip in clips]))
        return scores

    @property
    def half_weights(self) -> list[float | None]:
        """Of each space, for the fusion."""
        return [space.settings.half_weight for space in self.spaces]

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


MOST_NORMALS = 200  # more dots than that only hide one another


@dataclass(frozen=True)
class ClipPoints:
    """One point per clip, the mean of its frames or windows.

    Parameters
    ----------
    normal_before, test_before : FloatArray
        ``[n, D]`` of up to 200 normal clips and of all test clips, in the space of f_c.
    normal_after, test_after : FloatArray or None
        ``[n, 128]`` of the same clips in the space of f_s; None where the client has no f_s.
    """

    normal_before: FloatArray
    test_before: FloatArray
    normal_after: FloatArray | None = None
    test_after: FloatArray | None = None

    @classmethod
    def of(
        cls,
        machine: MachineFrames,
        shared: Space | None = None,
        test: Sequence[Embedded] = (),
        average: Average = "frames",
    ) -> ClipPoints:
        """Collect the points of a machine's clips; `test` are its test clips in the spaces of a detector.

        Parameters
        ----------
        machine : MachineFrames
        shared : Space, optional
            The detector's first space, if that is the one of f_s.
        test : sequence of Embedded
        average : {"frames", "log-mel"}
            See `mean_frame`.
        """
        normal = [*machine.normal, *machine.calibration][:MOST_NORMALS]
        before = _means(normal, average), _means(machine.test, average)
        if shared is None or shared.classifier is None:
            return cls(*before)
        return cls(*before, _means(shared.normals[:MOST_NORMALS]), _means([clip[0] for clip in test]))

    def save(self, path: Path) -> None:
        """Write the points to a safetensors file."""
        with replacing(path) as file:
            file.write(save({name: array for name, array in vars(self).items() if array is not None}))

    @classmethod
    def load(cls, path: Path) -> ClipPoints:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            The file cannot be read or holds something else.
        """
        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise InputError(f"{path}: not a file of embeddings ({error}); repeat the run that made it") from error


def _means(clips: Sequence[FloatArray], average: Average = "frames") -> FloatArray:
    return np.array([mean_frame(clip, average) for clip in clips], np.float32)
