"""Anomaly detection models f_a: points of an embedding space in, anomaly scores out (paper, section IV-A).

A scorer is added by one file and one line of `SCORERS`, which imports it only when it is used: a saved detector is to
answer within seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

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


@dataclass(frozen=True)
class ScorerSettings:
    """How the clips of one machine are scored.

    Parameters
    ----------
    name : str
        A name of `SCORERS`: scored in the shared space alone; or ``"fusion"``: shared plus local space.
    space : str
        The scorer that ``"fusion"`` uses in each of its two spaces.
    metric : {"euclidean", "cosine"}
    pooling : {"mean-embedding", "mean", "max", "top-k"}
        How the windows of a clip become its score.
    """

    name: str = FUSION
    space: str = "knn"
    metric: Metric = "euclidean"
    pooling: Pooling = "mean-embedding"

    def __post_init__(self) -> None:
        """Check the names."""
        check_choice("scorer", self.name, [FUSION, *SCORERS])
        check_choice("space-scorer", self.space, SCORERS)

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        """Read the settings out of a run's configuration."""
        return cls(config.scorer, config.space_scorer, config.metric, config.pooling)

    @property
    def fused(self) -> bool:
        """Whether the client adds the score of its own f_c space."""
        return self.name == FUSION

    def make(self) -> AnomalyScorer:
        """Build an unfitted scorer for one space."""
        return SCORERS[self.space if self.fused else self.name](self.metric)
