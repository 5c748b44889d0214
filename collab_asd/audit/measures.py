"""How far an attack gets: measures, their chance levels, and intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from collab_asd.core.types import FloatArray, ScoreArray

CONFIDENCE = 0.95
RESAMPLED = 500


@dataclass(frozen=True)
class Finding:
    """One figure of the audit.

    Parameters
    ----------
    attack, knowledge, measure : str
    value, low, high : float
        With the ends of its 95 % interval over clips; of a control of `probe`, over mixings-up.
    chance : float
        What an adversary reaches who has received nothing.
    clips : int
        How many clips it was measured on; clients, where it is of a client's mean.
    """

    attack: str
    knowledge: str
    measure: str
    value: float
    low: float
    high: float
    chance: float
    clips: int

    def to_plain(self) -> dict[str, Any]:
        """Lay out for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval."""

    value: float
    low: float
    high: float


def mean_with_interval(values: ScoreArray, seed: int = 0) -> Estimate:
    """Mean over clips ``[n]``, and its bootstrap interval."""
    return _bootstrapped(lambda picked: float(picked[0].mean()), [values], seed)


def rate_with_interval(hits: NDArray[np.bool_]) -> Estimate:
    """Share of hits ``[n]``, and its exact interval (Clopper and Pearson, 1934)."""
    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(CONFIDENCE)
    return Estimate(float(hits.mean()), float(interval.low), float(interval.high))


def auc_with_interval(members: ScoreArray, others: ScoreArray, seed: int = 0) -> Estimate:
    """Area under the ROC curve of an attack that calls high scores members; chance is 0.5."""
    return _bootstrapped(lambda picked: auc(*picked), [members, others], seed)


def balanced_accuracy_with_interval(truth: NDArray[np.str_], found: NDArray[np.str_], seed: int = 0) -> Estimate:
    """Mean over values of the share of clips ``[n]`` of that value that were found."""
    return _bootstrapped(_mean_of_means, _hits(truth, found), seed)


def balanced_accuracy(truth: NDArray[np.str_], found: NDArray[np.str_]) -> float:
    """Mean over values of the share of clips ``[n]`` of that value that were found."""
    return _mean_of_means(_hits(truth, found))


def auc(members: ScoreArray, others: ScoreArray) -> float:
    """Area under the ROC curve of an attack that calls high scores members."""
    labels = np.repeat([1, 0], [len(members), len(others)])
    return float(roc_auc_score(labels, np.concatenate([members, others])))


def over_draws(values: Sequence[float]) -> Estimate:
    """Mean over the draws of what is left to chance, and the quantiles that 95 % of them lie between."""
    return Estimate(float(np.mean(values)), *_ends(values))


def log_spectral_distance(estimate: FloatArray, truth: FloatArray) -> float:
    """Mean over spectra ``[n, bands]``, in dB, of the root mean square difference over bands, in dB."""
    return float(np.sqrt(np.mean(np.square(estimate - truth, dtype=np.float64), axis=1)).mean())


def reidentified(alike: FloatArray) -> NDArray[np.bool_]:
    """Which of N estimates are most like their own of N recordings, given the `likeness` of all; chance is 1/N."""
    own = np.diag(alike)
    rivals = np.where(np.eye(len(own), dtype=bool), -np.inf, alike).max(axis=1)
    return np.asarray(own > rivals)


def likeness(estimates: Sequence[FloatArray], truths: Sequence[FloatArray]) -> FloatArray:
    """Correlation of each of N spectrograms ``[n, bands]`` with each of M others -> ``[N, M]``.

    Both are taken relative to the mean of their own side, so that what all clips of a machine have in common does not
    count, and as far as the shortest goes.
    """
    length = min(map(len, (*estimates, *truths)))
    sides = []
    for clips in (estimates, truths):
        flat = np.stack([clip[:length].ravel() for clip in clips])
        flat = flat - flat.mean(axis=0)
        flat = flat - flat.mean(axis=1, keepdims=True)
        sides.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))
    return np.asarray(sides[0] @ sides[1].T, np.float32)


def _hits(truth: NDArray[np.str_], found: NDArray[np.str_]) -> list[ScoreArray]:
    """Return which clips of each value were found, as 0 and 1."""
    return [np.array(found[truth == value] == value, np.float64) for value in np.unique(truth)]


def _mean_of_means(samples: Sequence[ScoreArray]) -> float:
    return float(np.mean([sample.mean() for sample in samples]))


def _bootstrapped(measure: Callable[[list[ScoreArray]], float], samples: list[ScoreArray], seed: int) -> Estimate:
    """Resample each sample by itself, and take the percentiles."""
    rng = np.random.default_rng(seed)
    drawn = [measure([rng.choice(sample, len(sample)) for sample in samples]) for _ in range(RESAMPLED)]
    return Estimate(measure(samples), *_ends(drawn))


def _ends(drawn: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
