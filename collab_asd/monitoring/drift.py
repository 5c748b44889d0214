"""Whether new recordings of a healthy machine still look like those that its detector learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collab_asd.interfaces import ScoreArray

FEWEST_CLIPS = 20
SIGNIFICANCE = 0.01


@dataclass(frozen=True)
class Drift:
    """The outcome of a two-sample Kolmogorov-Smirnov test between new anomaly scores and those of held-out normals.

    Parameters
    ----------
    clips : int
        Number of new clips.
    statistic : float
        Largest distance between the two distribution functions, in [0, 1].
    p_value : float
        Probability of a distance at least as large if nothing had changed.
    higher : float
        Share of pairs (new clip, normal clip) in which the new clip scores higher; 0.5 if nothing had changed.
    alarms : float
        Share of the new clips above the threshold.
    """

    clips: int
    statistic: float
    p_value: float
    higher: float
    alarms: float

    @property
    def found(self) -> bool:
        """Whether the new clips differ at a significance of 0.01."""
        return self.p_value < SIGNIFICANCE


def compare(normal: ScoreArray, new: Sequence[float], threshold: float) -> Drift | None:
    """Compare the scores of new clips with those of normals that the detector had not seen.

    Parameters
    ----------
    normal : ScoreArray
        ``[n]``, as `Detector.normal_scores`.
    new : sequence of float
        Anomaly scores of new clips.
    threshold : float

    Returns
    -------
    Drift or None
        None with fewer than 20 new clips: too few to say anything.

    References
    ----------
    J. L. Hodges, "The significance probability of the Smirnov two-sample test", Arkiv för Matematik 3, 1958.
    """
    from scipy.stats import ks_2samp  # here, because it takes a second to import

    if len(new) < FEWEST_CLIPS:
        return None
    scores = np.asarray(new)
    result = ks_2samp(scores, normal)
    above = (scores[:, None] > normal).mean() + (scores[:, None] == normal).mean() / 2
    return Drift(
        len(scores), float(result.statistic), float(result.pvalue), float(above), float((scores > threshold).mean())
    )


def describe(drift: Drift) -> str:
    """Say in words what was found, and what to do about it."""
    measured = f"{drift.clips} clips, Kolmogorov-Smirnov D = {drift.statistic:.2f}, p = {drift.p_value:.2g}"
    if not drift.found:
        return f"no drift: these recordings score as the training normals did ({measured})"
    if drift.higher < 0.5:
        return (
            f"drift: these recordings look more normal than new recordings should ({measured}); "
            "are they copies of training clips?"
        )
    return (
        f"drift: these recordings no longer look like the training normals ({measured}; {drift.alarms:.0%} are above "
        "the threshold). If the machine is known to be healthy, something else changed (the microphone, its place, the "
        "load) or it is another machine: record new normal clips and repeat the run. If not, look at the machine"
    )
