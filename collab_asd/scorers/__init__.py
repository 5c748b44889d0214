"""Anomaly detection models f_a: points of an embedding space in, anomaly scores out (paper, section IV-A).

A scorer is added by one file and one line of `SCORERS`, which imports it only when it is used: a saved detector is to
answer within seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

from collab_asd.config import Metric, Pooling, RunConfig, check_choice
from collab_asd.interfaces import AnomalyScorer


def _knn(metric: Metric) -> AnomalyScorer:
    from collab_asd.scorers.knn import KnnScorer

    return KnnScorer(metric=metric)


def _lof(metric: Metric) -> AnomalyScorer:
    from collab_asd.scorers.lof import LofScorer

    return LofScorer(metric=metric)


def _mahalanobis(metric: Metric) -> AnomalyScorer:
    from collab_asd.scorers.mahalanobis import MahalanobisScorer

    return MahalanobisScorer(normalize=metric == "cosine")


def _gmm(metric: Metric) -> AnomalyScorer:
    from collab_asd.scorers.gmm import GaussianMixtureScorer

    return GaussianMixtureScorer(normalize=metric == "cosine")


SCORERS: dict[str, Callable[[Metric], AnomalyScorer]] = {
    "knn": _knn,
    "lof": _lof,
    "mahalanobis": _mahalanobis,
    "gmm": _gmm,
}
FUSION = "fusion"
Average = Literal["frames", "log-mel"]
BARE_SAMPLES = {"waveform"}
"""Encoders whose frames mean nothing until a spectrum is made of them."""


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
    average : {"frames", "log-mel"}
        What a clip's point in the space of f_c is the mean of: its frames, or the log-mel spectrum of the samples that
        these are.
    """

    name: str = "knn"
    metric: Metric = "euclidean"
    pooling: Pooling = "mean-embedding"
    average: Average = "frames"

    def __post_init__(self) -> None:
        """Check the name."""
        check_choice("scorer", self.name, SCORERS)

    def make(self) -> AnomalyScorer:
        """Build an unfitted scorer."""
        return SCORERS[self.name](self.metric)


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
        return cls(_settings(config.shared_scorer, config), _settings(config.local_scorer, config))


def _settings(name: str, config: RunConfig) -> ScorerSettings:
    average: Average = "log-mel" if config.encoder in BARE_SAMPLES else "frames"
    return ScorerSettings(name, config.metric, config.pooling, average)
