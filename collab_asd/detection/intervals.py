"""How far a mean AUC, or a difference of two, may lie from what other seeds and other test clips would give.

Clips are drawn again with replacement, the normal ones and the anomalies of each machine apart, and the same ones for
all seeds and for both methods of a difference: what makes a clip hard for both cancels. Three seeds cannot be drawn
again (a bootstrap of three values is too narrow by a fifth and has no tail), so that to each draw of clips a deviation
is added that is distributed as Student's t gives it for the mean over seeds. Without seeds to compare, the interval is
over clips alone.

References
----------
B. Efron and R. Tibshirani, "An introduction to the bootstrap", chapter 13 (percentiles), 1993.
E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves", Biometrics 44, 1988; tests compare with it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from collab_asd.core.seeding import derive
from collab_asd.core.types import ANOMALY, NORMAL, ScoreArray, ScoreRow, ScoreTable

DRAWS = 2000
CONFIDENCE = 0.95
Key: TypeAlias = tuple[int, str]


@dataclass(frozen=True, eq=False)
class LabelledScores:
    """Scores of one machine's labelled test clips in one run.

    Parameters
    ----------
    keys : tuple of (sequence, sequence)
        Client and name of each normal clip, and of each anomaly, in order.
    normal, anomaly : ScoreArray
        Their scores.
    """

    keys: tuple[tuple[Key, ...], tuple[Key, ...]]
    normal: ScoreArray
    anomaly: ScoreArray

    @property
    def wins(self) -> ScoreArray:
        """``[anomalies, normals]``: 1 where the anomaly scores higher, 1/2 where alike; NaN of two clients."""
        higher = np.heaviside(self.anomaly[:, None] - self.normal, 0.5)
        clients = [np.array([client for client, _ in keys]) for keys in self.keys]
        return np.where(clients[1][:, None] == clients[0], higher, np.nan)


Machines: TypeAlias = Mapping[str, LabelledScores]
"""By ``"type/id"``; machines without clips of either kind are left out."""


def labelled_scores(table: ScoreTable) -> dict[str, LabelledScores]:
    """Gather the labelled clips of each machine."""
    rows: dict[str, tuple[list[ScoreRow], list[ScoreRow]]] = defaultdict(lambda: ([], []))
    for row in sorted(table.rows, key=lambda row: (row.client, row.clip)):
        if row.label in (NORMAL, ANOMALY):
            rows[f"{row.machine_type}/{row.machine_id}"][int(row.label == ANOMALY)].append(row)
    return {
        machine: LabelledScores(
            (tuple((r.client, r.clip) for r in normal), tuple((r.client, r.clip) for r in anomaly)),
            np.array([r.anomaly_score for r in normal]),
            np.array([r.anomaly_score for r in anomaly]),
        )
        for machine, (normal, anomaly) in sorted(rows.items())
        if normal and anomaly
    }


@dataclass(frozen=True)
class Interval:
    """A 95 % interval over seeds and clips.

    Parameters
    ----------
    low, high : float
    clips_alone : float
        Half the width that it would have if the seeds said nothing.
    clips : float
        Labelled test clips of a machine, on average.
    """

    low: float
    high: float
    clips_alone: float
    clips: float

    def clips_to_settle(self, mean: float) -> float | None:
        """Test clips of each machine with which the interval over clips would no longer hold 0.

        None where the interval does not hold 0, or holds it for the seeds' sake: more clips would not help. Of a
        difference alone; infinite where there is none. The width falls with the root of their number.
        """
        if self.low > 0 or self.high < 0 or self.clips_alone < abs(mean):
            return None
        return self.clips * (self.clips_alone / mean) ** 2 if mean else math.inf


def auc_interval(runs: Sequence[Machines], minus: Sequence[Machines] = ()) -> Interval | None:
    """Interval of the AUC, mean over machines and seeds, or of its difference to that of other runs, seed by seed.

    Parameters
    ----------
    runs : sequence of Machines
        Of each seed.
    minus : sequence of Machines
        Of the same seeds in the same order; empty: no difference.

    Returns
    -------
    Interval or None
        None where there is no machine with both kinds of clips, or where runs have other clips than each other: with
        other clips at a client, seeds are not paired.
    """
    everything = [*runs, *minus]
    if not runs or not runs[0] or any(_clips_of(run) != _clips_of(runs[0]) for run in everything):
        return None
    measured, drawn = [], []
    for number, run in enumerate(runs):
        values = _aucs(run) - (_aucs(minus[number]) if minus else 0.0)
        measured.append(values[0])
        drawn.append(values[1:])
    over_clips = np.mean(drawn, axis=0)
    deviations = _seed_deviations(np.array(measured))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(over_clips + deviations, [tail, 100 - tail])
    low, high = max(low, -1.0 if minus else 0.0), min(high, 1.0)
    alone = np.nanpercentile(over_clips, [tail, 100 - tail])
    clips = [len(scores.normal) + len(scores.anomaly) for scores in runs[0].values()]
    return Interval(float(low), float(high), float(alone[1] - alone[0]) / 2, float(np.mean(clips)))


def _clips_of(run: Machines) -> dict[str, list[list[str]]]:
    return {machine: [sorted(name for _, name in keys) for keys in scores.keys] for machine, scores in run.items()}


def _aucs(run: Machines) -> ScoreArray:
    """Mean AUC over machines: as measured, and of each draw of clips -> ``[1 + DRAWS]``."""
    return np.asarray(np.mean([_auc_of(machine, scores) for machine, scores in run.items()], axis=0))


def _auc_of(machine: str, scores: LabelledScores) -> ScoreArray:
    of_normals, of_anomalies = (
        _weights(machine, kind, tuple(name for _, name in keys))
        for kind, keys in zip(("normal", "anomaly"), scores.keys, strict=True)
    )
    wins = scores.wins
    pairs = ~np.isnan(wins)
    total = np.einsum("bn,bn->b", of_anomalies @ np.where(pairs, wins, 0.0), of_normals)
    if pairs.all():
        return np.asarray(total / (of_anomalies.sum(axis=1) * of_normals.sum(axis=1)))
    count = np.einsum("bn,bn->b", of_anomalies @ pairs.astype(np.float64), of_normals)
    some = count > 0  # a draw may leave no pair
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=some))


@lru_cache(maxsize=256)
def _weights(machine: str, kind: str, names: tuple[str, ...]) -> ScoreArray:
    """How often each clip is drawn ``[1 + DRAWS, n]``, at first once; the same for it wherever it stands."""
    order = np.argsort(np.argsort(names))
    rng = np.random.default_rng(derive(0, "bootstrap", machine, kind))
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    return np.concatenate([np.ones((1, len(names))), drawn])[:, order]


def _seed_deviations(measured: ScoreArray) -> ScoreArray:
    """Draw as many deviations of the mean over seeds as there are draws of clips; 0 of one seed."""
    n = len(measured)
    if n < 2:
        return np.zeros(DRAWS)
    spread = measured.std(ddof=1) / math.sqrt(n)
    return np.asarray(spread * np.random.default_rng(derive(0, "bootstrap", "seeds")).standard_t(n - 1, DRAWS))
