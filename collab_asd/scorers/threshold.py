"""A threshold from a client's own normal scores, at a stated false-alarm rate."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm, pearson3, skew

from collab_asd.config import Thresholding
from collab_asd.interfaces import ScoreArray


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
    if spread <= 0:
        return mean
    lean = float(skew(normal_scores))
    if lean <= 0:
        return float(norm.ppf(1 - false_alarm_rate, loc=mean, scale=spread))
    return float(pearson3.ppf(1 - false_alarm_rate, lean, loc=mean, scale=spread))
