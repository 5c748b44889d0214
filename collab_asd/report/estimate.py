"""A mean over seeds, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Parameters
    ----------
    mean : float
    deviation : float or None
        Sample standard deviation (divided by n - 1); None of one value.
    half_width : float or None
        The 95 % interval of the mean reaches so far to both sides (Student's t, n - 1 degrees of freedom); None of one
        value, which says nothing about how far others lie.
    n : int
        Number of seeds.
    """

    mean: float
    deviation: float | None
    half_width: float | None
    n: int

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.half_width is None else self.mean + self.half_width


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Mean, deviation and interval of the values that there are; None if there is none."""
    known = [float(v) for v in values if v is not None]
    n = len(known)
    if n == 0:
        return None
    if n == 1:
        return Estimate(known[0], None, None, 1)
    deviation = float(np.std(known, ddof=1))
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, n - 1))
    return Estimate(float(np.mean(known)), deviation, quantile * deviation / math.sqrt(n), n)
