"""A threshold from a client's own normal scores, at a stated false-alarm rate; and the p-value of a score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.stats import beta, norm, pearson3, skew, t

from collab_asd.config import Thresholding
from collab_asd.core.types import ScoreArray

LEAST_SPREAD = 1e-9  # of the mean


def threshold(normal_scores: ScoreArray, false_alarm_rate: float, how: Thresholding) -> float:
    """Score above which a clip is called anomalous.

    Parameters
    ----------
    normal_scores : ScoreArray
        ``[n]`` held-out scores of normal clips.
    false_alarm_rate : float
        Share of normal clips, in (0, 1), that may score above the threshold.
    how : {"gamma", "quantile"}
        ``"gamma"``: a gamma distribution fitted by moments, as the DCASE baselines do, but with its origin free
        (Pearson type III), because fused scores may be negative; widened for the moments of few scores, see
        `FittedScores`. ``"quantile"``: the conformal quantile, which a new
        normal clip exceeds with at most the stated probability whatever the scores' distribution (Vovk et al., 2005);
        with fewer than ``1 / false_alarm_rate`` normals it is their maximum.

    Examples
    --------
    >>> threshold(np.arange(101.0), 0.1, "quantile")
    91.0
    """
    if how == "quantile":
        rank = math.ceil((len(normal_scores) + 1) * (1 - false_alarm_rate))
        return float(np.sort(normal_scores)[min(rank, len(normal_scores)) - 1])
    return FittedScores.of(normal_scores).quantile(false_alarm_rate)


def p_values(normal_scores: ScoreArray, scores: ScoreArray, how: Thresholding) -> ScoreArray:
    """Probability that a normal clip scores as high as each of some scores -> same shape, in [0, 1].

    A score above the `threshold` of a rate has a p-value below that rate, and the other way round.

    Parameters
    ----------
    normal_scores : ScoreArray
        ``[n]`` held-out scores of normal clips.
    scores : ScoreArray
    how : {"gamma", "quantile"}
        As of `threshold`. ``"quantile"`` counts: no p-value lies below 1 / (n + 1).

    Examples
    --------
    >>> p_values(np.arange(9.0), np.array([8.5, 8.0, -1.0]), "quantile").tolist()
    [0.1, 0.2, 1.0]
    """
    if how == "quantile":
        reached = len(normal_scores) - np.searchsorted(np.sort(normal_scores), scores, side="left")
        return np.asarray((1 + reached) / (len(normal_scores) + 1))
    return FittedScores.of(normal_scores).tail(scores)


SKEWNESS, SKEWNESS_CLIPS = 1.0, 50
"""Of held-out scores, on the tuning clips of ToyCar and on synthetic machines; few are drawn to it."""


@dataclass(frozen=True)
class FittedScores:
    """The distribution of new normal scores: Pearson type III, with moments that are themselves uncertain.

    A score u, in deviations from the mean, has the normal deviate ``z = Phi^-1(F(u))``, F being the distribution
    function of Pearson type III. The mean and deviation of n scores are estimates, so that z is taken to follow
    Student's t with n - 1 degrees of freedom, widened by ``sqrt(1 + 1 / n)``, as it does exactly for normal scores.

    Parameters
    ----------
    mean, deviation : float
        The latter widened.
    skewness : float
        At least 0.
    degrees : int
        At least 1.
    """

    mean: float
    deviation: float
    skewness: float
    degrees: int

    @classmethod
    def of(cls, normal_scores: ScoreArray) -> Self:
        """Fit to held-out scores ``[n]``."""
        n, mean = len(normal_scores), float(normal_scores.mean())
        spread = float(normal_scores.std(ddof=1)) if n > 1 else 0.0
        if spread <= LEAST_SPREAD * abs(mean):  # they differ by rounding, of which no distribution can be fitted
            return cls(float(normal_scores.max()), 0.0, 0.0, 1)
        drawn = max((n * float(skew(normal_scores)) + SKEWNESS_CLIPS * SKEWNESS) / (n + SKEWNESS_CLIPS), 0.0)
        return cls(mean, spread * math.sqrt(1 + 1 / n), drawn, max(n - 1, 1))

    def quantile(self, rate: float) -> float:
        """Return the score that a new normal clip exceeds with a probability in (0, 1)."""
        tail = float(norm.sf(t.isf(rate, self.degrees)))
        return self.mean + self.deviation * float(pearson3.isf(max(tail, LEAST_TAIL), self.skewness))

    def tail(self, scores: ScoreArray) -> ScoreArray:
        """Probability that a new normal clip scores as high -> same shape."""
        if self.deviation <= 0:
            return np.where(scores > self.mean, 0.0, 1.0)
        tails = pearson3.sf((scores - self.mean) / self.deviation, self.skewness)
        deviates = norm.isf(np.clip(tails, LEAST_TAIL, 1 - 1e-16))
        return np.asarray(t.sf(deviates, self.degrees), np.float64)


LEAST_TAIL = 1e-300
"""Probabilities below are not told from 0."""


def highest_rate(normals: int, false_alarm_rate: float) -> float:
    """Rate below which the false alarms of a threshold lie in 95 of 100 cases, in (0, 1).

    Parameters
    ----------
    normals : int
        Number of normal clips that the threshold was set from.
    false_alarm_rate : float
        What it was set for. Which share of new normal clips exceeds the k-th highest of n scores follows a beta
        distribution with k and n + 1 - k; of a fitted threshold that holds about.

    Examples
    --------
    >>> round(highest_rate(12, 0.1), 2), round(highest_rate(35, 0.1), 2)
    (0.26, 0.19)
    """
    above = false_alarm_rate * (normals + 1)
    return float(beta.ppf(0.95, above, normals + 1 - above))


def is_uncertain(normals: int, false_alarm_rate: float) -> bool:
    """Whether a threshold from so few normal clips may well raise more than twice the false alarms that it was set for.

    Examples
    --------
    >>> [normals for normals in range(1, 100) if is_uncertain(normals, 0.1)][-1]
    29
    """
    return highest_rate(normals, false_alarm_rate) > 2 * false_alarm_rate
