"""Anomaly detection models f_a: points of an embedding space in, anomaly scores out (paper, section IV-A).

A scorer is added by a file with a class that is built with ``metric=`` and follows `AnomalyScorer`, and by its line in
`SCORERS`, or by an entry point of the group ``collab_asd.scorers``. It is imported when it is used: a saved detector is
to answer within seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from collab_asd.config import Metric, Pooling, RunConfig, check_choice
from collab_asd.core.registry import Registry
from collab_asd.core.types import RAW_ENCODERS, AnomalyScorer

if TYPE_CHECKING:
    from collab_asd.detection.second_order import Others

SCORERS: Registry[Callable[..., AnomalyScorer]] = Registry(
    "scorer",
    "collab_asd.scorers",
    Callable,
    {
        "knn": "collab_asd.detection.scorers.knn:KnnScorer",
        "lof": "collab_asd.detection.scorers.lof:LofScorer",
        "mahalanobis": "collab_asd.detection.scorers.mahalanobis:MahalanobisScorer",
        "gmm": "collab_asd.detection.scorers.gmm:GaussianMixtureScorer",
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
        (`collab_asd.detection.spectrum`), or of that the levels alone; or the levels of each segment.
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
            from collab_asd.detection.scorers.spectrum import SpectrumScorer

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
        In the client's own space of f_c; None to leave that out.
    """

    shared: ScorerSettings
    local: ScorerSettings | None

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        """Read the settings out of a run's configuration: ``scorer = "fusion"`` is both spaces, all else f_s alone."""
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


def looks_at_spectra(config: RunConfig) -> bool:
    """Whether the client's own score looks at the recording's spectrum, and not through the encoder."""
    return config.scorer == FUSION and config.local_features == "logmel"


def _settings(name: str, config: RunConfig) -> ScorerSettings:
    average: Average = "log-mel" if config.encoder in RAW_ENCODERS else "frames"
    return ScorerSettings(name, config.metric, config.pooling, average)
