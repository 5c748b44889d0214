"""Anomaly detection models f_a: points of an embedding space in, anomaly scores out (paper, section IV-A).

A scorer is added by a file with a class that is built with ``metric=`` and follows `AnomalyScorer`, and by its line in
`SCORERS`, or by an entry point of the group ``collab_asd.scorers``. It is imported when it is used: a saved detector is
to answer within seconds.

`ClipScorer` goes from points to clips: one space, one machine, a score per clip. Normal points are scored by models
that have not seen them. Points may be taken to the unit sphere, where Euclidean distance is a monotone function of
cosine distance.

`fuse` makes one score of those of several spaces, without labels. Outlier exposure helps where machines differ in what
fails, and hurts where they do not; the local space has the opposite strengths. Their sum keeps both. Nothing more is
sent: the local space never leaves the client. A sound of half a second is lost in what is averaged over a clip. The
score of its most unusual segment shows it, and counts only where it leads all else clearly: it knows little of what
goes on for long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from collab_asd.config import Metric, Pooling, RunConfig, check_choice
from collab_asd.core.registry import Registry
from collab_asd.core.types import RAW_ENCODERS, AnomalyScorer, ClipNumbers, FloatArray, ScoreArray, SpaceScores

if TYPE_CHECKING:
    from collab_asd.detection.second_order import Others


SCORERS: Registry[Callable[..., AnomalyScorer]] = Registry(
    "scorer",
    "collab_asd.scorers",
    Callable,
    {
        "knn": "collab_asd.detection.scorers.neighbours:KnnScorer",
        "lof": "collab_asd.detection.scorers.neighbours:LofScorer",
        "mahalanobis": "collab_asd.detection.scorers.gaussian:MahalanobisScorer",
        "gmm": "collab_asd.detection.scorers.gaussian:GaussianMixtureScorer",
    },
)
FUSION = "fusion"
HALF_WEIGHT = 200.0
"""Of the shared space, and of the client's own covariance beside one with the others' support; chosen on the tuning
clips of ToyCar and on synthetic machines (`benchmarks/fusion.py`), where 50 to 400 are alike."""
SHORT_HALF_WEIGHT = 10.0
"""Of a clip's most unusual segment: few clips say little of how unusual it is (`benchmarks/short_events.py`)."""
Average = Literal["frames", "log-mel", "spectrum", "levels", "segments"]


@dataclass(frozen=True)
class ScorerSettings:
    """How the clips of one machine are scored in one embedding space.

    Parameters
    ----------
    name : str
        A name of `SCORERS`.
    metric : {"euclidean", "cosine"}
    pooling : {"mean-embedding", "mean", "max", "top-k"}
        How the windows of a clip become its score.
    average : {"frames", "log-mel", "spectrum", "levels", "segments"}
        What a clip's point in the client's own space is: the mean of its frames, or of the log-mel spectrum of the
        samples that these are; or the summary of its spectrum that comes beside the frames
        (`collab_asd.detection.second_order`), or of that the levels alone; or the levels of each segment.
    half_weight : float or None
        Number of normal clips with which the score has half its full weight in a fusion; 0: always the full one. None:
        the fusion is the sum of plain z-scores, as in earlier versions.
    """

    name: str = "knn"
    metric: Metric = "euclidean"
    pooling: Pooling = "mean-embedding"
    average: Average = "frames"
    half_weight: float | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        check_choice("scorer", self.name, SCORERS)

    @property
    def reads_spectrum(self) -> bool:
        """Whether a clip is given by the summary of its spectrum, and not by frames of f_c."""
        return self.average in ("spectrum", "levels", "segments")

    def make(self, others: Others | None = None) -> AnomalyScorer:
        """Build an unfitted scorer; in the space of spectra ``mahalanobis`` is the one that is made for them."""
        if self.reads_spectrum and self.name == "mahalanobis":
            from collab_asd.detection.scorers.gaussian import SpectrumScorer

            return SpectrumScorer(others)
        return SCORERS.find(self.name)(metric=self.metric)


@dataclass(frozen=True)
class DetectorSettings:
    """How the clips of one machine are scored.

    Parameters
    ----------
    shared : ScorerSettings
        In the space of f_s, which all clients share.
    local : ScorerSettings or None
        In the client's own space, of f_c or of spectra as its `average` says; None to leave that out.
    """

    shared: ScorerSettings
    local: ScorerSettings | None

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        """Read the settings out of a run's configuration: ``scorer = "fusion"`` is both, all else f_s alone."""
        check_choice("scorer", config.scorer, [FUSION, *SCORERS])
        check_choice("shared-scorer", config.shared_scorer, SCORERS)
        check_choice("local-scorer", config.local_scorer, SCORERS)
        if config.scorer != FUSION:
            return cls(_settings(config.scorer, config), None)
        shared, local = _settings(config.shared_scorer, config), _settings(config.local_scorer, config)
        if looks_at_spectra(config):
            shared = replace(shared, half_weight=HALF_WEIGHT)
            local = replace(local, average="spectrum", half_weight=0.0)
        return cls(shared, local)


OWN_SPECTRA = DetectorSettings(ScorerSettings(), ScorerSettings("mahalanobis", average="spectrum", half_weight=0.0))
"""A client's own spaces of spectra, without f_s: what covariances of others support."""


def looks_at_spectra(config: RunConfig) -> bool:
    """Whether the client's own score looks at the recording's spectrum, and not through the encoder."""
    return config.scorer == FUSION and config.local_features == "logmel"


def _settings(name: str, config: RunConfig) -> ScorerSettings:
    average: Average = "log-mel" if config.encoder in RAW_ENCODERS else "frames"
    return ScorerSettings(name, config.metric, config.pooling, average)


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


LEAST_SPREAD = 1e-6  # of the mean: below, the scores differ by rounding
TINY = float(np.finfo(np.float64).tiny)
PRIOR_CLIPS, PRIOR_DEVIATION = 20, 1.2
"""By so many clips the deviation of few calibration scores is drawn to 1.2 times that of the clips that f_s knows."""
TRAINED_DEVIATION, TRAINED_SHIFT, HIGHEST_SHIFT = 1.6, 25.0, 1.3
"""Scores of new normal clips, where f_s has seen all that there are: their deviation, and how far their mean lies above
(25 / (n + 5), at most 1.3), in deviations of the clips seen. Measured on the tuning clips of ToyCar and on synthetic
machines."""
SHORT_EVENTS = "short events"
"""The view of scores that count only where they lead."""
LEAST_LEAD = 1.0
"""In deviations of held-out scores; chosen on the tuning clips of ToyCar and on synthetic machines
(`benchmarks/short_events.py`): without it faults that go on for long are noticed less."""


def fuse(spaces: Sequence[SpaceScores], half_weights: Sequence[float | None] = ()) -> SpaceScores:
    """Sum the scores of the same clips in several spaces, each in units of the machine's own normals.

    One space alone is returned as it is. Without weights the scores are z-scored with the mean and standard deviation
    of the held-out normal scores; where these hardly differ, with a millionth of their mean, and where that is 0, too,
    with 1. With weights it is their logarithms that are z-scored, and clips that f_s was trained on only with the
    statistics of such clips.

    Of views of the same thing one or the other shows a fault: the higher score counts. A score of `SHORT_EVENTS` counts
    where it, weighted, is above the sum of all others, both in deviations of held-out scores, by `LEAST_LEAD`.

    Parameters
    ----------
    spaces : sequence of SpaceScores
    half_weights : sequence of float or None
        Of each space: with n normal clips it counts n / (n + half weight), alike for views of the same thing. None for
        all of them: no weights, no views.
    """
    if len(spaces) == 1:
        return spaces[0]
    if all(half is None for half in half_weights):
        return _total([_z_scored(space) for space in spaces], [1.0] * len(spaces))
    n = len(spaces[0].normal)
    views: dict[str | int, list[SpaceScores]] = defaultdict(list)
    weights: dict[str | int, float] = {}
    for i, (space, half) in enumerate(zip(spaces, half_weights, strict=True)):
        views[space.view or i].append(_standardized(space))
        weights[space.view or i] = n / (n + (half or 0.0))
    short = views.pop(SHORT_EVENTS, None)
    total = _total([_maximum(parts) for parts in views.values()], [weights[view] for view in views])
    if short is None:
        return total
    one = _total(short, [weights[SHORT_EVENTS]])
    return _maximum([_z_scored(total), SpaceScores(one.normal - LEAST_LEAD, one.test - LEAST_LEAD)])


def _maximum(views: Sequence[SpaceScores]) -> SpaceScores:
    normal, test = (np.max(scores, axis=0) for scores in zip(*((v.normal, v.test) for v in views), strict=True))
    return SpaceScores(normal=normal, test=test)


def _total(parts: Sequence[SpaceScores], weights: Sequence[float]) -> SpaceScores:
    weighted = [(w * part.normal, w * part.test) for w, part in zip(weights, parts, strict=True)]
    normal, test = (np.asarray(np.sum(arrays, axis=0)) for arrays in zip(*weighted, strict=True))
    return SpaceScores(normal=normal, test=test)


def _z_scored(space: SpaceScores) -> SpaceScores:
    mean = space.normal.mean()
    spread = max(float(space.normal.std()), LEAST_SPREAD * abs(float(mean))) or 1.0
    return SpaceScores(normal=(space.normal - mean) / spread, test=(space.test - mean) / spread)


def _standardized(space: SpaceScores) -> SpaceScores:
    """Return z-scores of the logarithms; clips that f_s was trained on are compared with one another."""
    normal, test = (np.log(np.maximum(scores, TINY)) for scores in (space.normal, space.test))
    if not space.trained:
        mean, deviation = normal.mean(), _deviation(normal)
        return SpaceScores(normal=(normal - mean) / deviation, test=(test - mean) / deviation)
    seen, new = normal[: space.trained], normal[space.trained :]
    mean_seen, deviation_seen = seen.mean(), _deviation(seen)
    if len(new):
        squares = len(new) * new.var() + PRIOR_CLIPS * (PRIOR_DEVIATION * deviation_seen) ** 2
        mean = new.mean()
        deviation = float(np.sqrt(squares / (len(new) + PRIOR_CLIPS) * (1 + 1 / len(new))))
    else:
        mean = mean_seen + deviation_seen * min(TRAINED_SHIFT / (len(seen) + 5), HIGHEST_SHIFT)
        deviation = TRAINED_DEVIATION * deviation_seen
    scaled = [(seen - mean_seen) / deviation_seen, (new - mean) / deviation]
    return SpaceScores(normal=np.concatenate(scaled), test=(test - mean) / deviation)


def _deviation(scores: ScoreArray) -> float:
    return max(float(scores.std()), LEAST_SPREAD)
