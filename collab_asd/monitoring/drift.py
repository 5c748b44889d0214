"""Whether new recordings of a healthy machine still look like those that its detector learnt from.

"No drift" is only said where drift would have been seen: of 12 normal and 20 new clips the test overlooks that half of
the new ones are alarms. Alarms are counted besides, for their number is known to differ from what was asked for sooner
than two distributions are known to differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collab_asd.core.types import ScoreArray

FEWEST_CLIPS = 20
SIGNIFICANCE = 0.01
CRITICAL = 1.628  # Smirnov's limit of D, times sqrt((n + m) / (n m)), at that significance
LARGE_CHANGE = 0.4
"""Of D: alarms rise from a tenth to half of the recordings. A test that may overlook this says nothing."""


@dataclass(frozen=True)
class Drift:
    """The outcome of a two-sample Kolmogorov-Smirnov test between new anomaly scores and those of held-out normals.

    Parameters
    ----------
    normals, clips : int
        Number of held-out normal and of new clips.
    statistic : float
        Largest distance between the two distribution functions, in [0, 1].
    p_value : float
        Probability of a distance at least as large if nothing had changed.
    higher : float
        Share of pairs (new clip, normal clip) in which the new clip scores higher; 0.5 if nothing had changed.
    alarms, asked : float
        Share of the new clips above the threshold, and the share of normal clips that it was set for.
    alarms_p_value : float
        Probability of at least as many alarms among normal clips; few `normals` make the threshold uncertain, which
        this takes into account.
    """

    normals: int
    clips: int
    statistic: float
    p_value: float
    higher: float
    alarms: float
    asked: float
    alarms_p_value: float

    @property
    def found(self) -> bool:
        """Whether the new clips differ at a significance of 0.01."""
        return self.p_value < SIGNIFICANCE

    @property
    def many_alarms(self) -> bool:
        """Whether there are more alarms than asked for, at a significance of 0.01."""
        return self.alarms_p_value < SIGNIFICANCE

    @property
    def smallest(self) -> float:
        """Smallest `statistic` that is significant with so many clips."""
        return CRITICAL * math.sqrt((self.normals + self.clips) / (self.normals * self.clips))

    @property
    def too_few(self) -> bool:
        """Whether nothing was found, but a change could have been overlooked: few clips, or many alarms."""
        return not self.found and (self.smallest > LARGE_CHANGE or self.many_alarms)


def compare(normal: ScoreArray, new: Sequence[float], threshold: float, false_alarm_rate: float) -> Drift | None:
    """Compare the scores of new clips with those of normals that the detector had not seen.

    Parameters
    ----------
    normal : ScoreArray
        ``[n]``, as `Detector.normal_scores`.
    new : sequence of float
        Anomaly scores of new clips.
    threshold : float
    false_alarm_rate : float
        What the threshold was set for, in (0, 1).

    Returns
    -------
    Drift or None
        None with fewer than 20 new clips: too few to say anything.

    Notes
    -----
    The share of normal clips above the k-th highest of n normal scores follows a beta distribution, so the number of
    alarms among new normal clips follows a beta-binomial one.

    References
    ----------
    N. Smirnov, "Table for estimating the goodness of fit of empirical distributions", Annals of Mathematical Statistics
    19, 1948. J. L. Hodges, "The significance probability of the Smirnov two-sample test", Arkiv för Matematik 3, 1958.
    """
    from scipy.stats import betabinom, ks_2samp  # here, because it takes a second to import

    if len(new) < FEWEST_CLIPS:
        return None
    scores, alarms = np.asarray(new), int((np.asarray(new) > threshold).sum())
    result = ks_2samp(scores, normal)
    above = false_alarm_rate * (len(normal) + 1)
    return Drift(
        normals=len(normal),
        clips=len(scores),
        statistic=float(result.statistic),
        p_value=float(result.pvalue),
        higher=float((scores[:, None] > normal).mean() + (scores[:, None] == normal).mean() / 2),
        alarms=alarms / len(scores),
        asked=false_alarm_rate,
        alarms_p_value=float(betabinom.sf(alarms - 1, len(scores), above, len(normal) + 1 - above)),
    )


def describe(drift: Drift) -> str:
    """Say in words what was found, and what to do about it."""
    measured = f"{drift.clips} clips, Kolmogorov-Smirnov D = {drift.statistic:.2f}, p = {drift.p_value:.2g}"
    alarms = f"{drift.alarms:.0%} are above the threshold, {100 * drift.asked:.3g}% asked for"
    if drift.many_alarms:
        alarms += f", which chance does not explain (p = {drift.alarms_p_value:.2g})"
    if drift.too_few:
        return (
            f"drift: too few to tell ({measured}; with {drift.normals} normal and {drift.clips} new clips only "
            f"D >= {drift.smallest:.2f} would show); {alarms}. {_ADVICE if drift.many_alarms else _MORE}"
        )
    if not drift.found:
        return (
            f"no drift: these recordings score as the training normals did ({measured}; "
            f"D >= {drift.smallest:.2f} would show); {alarms}"
        )
    if drift.higher < 0.5:
        return (
            f"drift: these recordings look more normal than new recordings should ({measured}); "
            "are they copies of training clips?"
        )
    return f"drift: these recordings no longer look like the training normals ({measured}); {alarms}. {_ADVICE}"


_ADVICE = (
    "If the machine is known to be healthy, something else changed (the microphone, its place, the load) or it is "
    "another machine: record new normal clips and repeat the run. If not, look at the machine"
)
_MORE = "Score more recordings, or train on more normal ones"
