"""A threshold from a client's own normal scores, at a stated false-alarm rate."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta, norm, pearson3, skew

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
        (Pearson type III), because fused scores may be negative. ``"quantile"``: the conformal quantile, which a new
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
    mean, spread = float(normal_scores.mean()), float(normal_scores.std())
    if spread <= LEAST_SPREAD * abs(mean):
        return float(normal_scores.max())  # they differ by rounding, of which no distribution can be fitted
    lean = float(skew(normal_scores))
    if lean <= 0:
        return float(norm.ppf(1 - false_alarm_rate, loc=mean, scale=spread))
    return float(pearson3.ppf(1 - false_alarm_rate, lean, loc=mean, scale=spread))


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
