"""Fusing the scores of several spaces without labels.

Outlier exposure helps where machines differ in what fails, and hurts where they do not; the local space has the
opposite strengths. Their sum keeps both. Nothing more is sent: the local space never leaves the client.

A sound of half a second is lost in what is averaged over a clip. The score of its most unusual segment shows it, and
counts only where it leads all else clearly: it knows little of what goes on for long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from collab_asd.core.types import ScoreArray, SpaceScores

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
