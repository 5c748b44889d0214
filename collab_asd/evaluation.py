"""The only code that looks at labels: AUC, pAUC, decisions and ID accuracy per machine.

Where several clients hold clips of one machine, each has a detector of its own, and scores of two detectors are on
different scales. AUC and pAUC are then the means of the clients', weighted by their numbers of pairs (a normal, an
anomaly): the AUC is the share of pairs *within a client* that are in order. Clients that have clips of one kind alone
have no pairs. Decisions can be compared, so their measures are over all clips of the machine.

References
----------
Koizumi et al., "Description and discussion on DCASE2020 Challenge Task2", DCASE Workshop 2020 (AUC, pAUC with p = 0.1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from collab_asd.interfaces import ANOMALY, NORMAL, ScoreArray, ScoreRow, ScoreTable
from collab_asd.seeding import derive

PAUC_MAX_FPR = 0.1
BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True)
class MachineResult:
    """What one run found out about one machine; fractions, or None where there is nothing to measure it on.

    Parameters
    ----------
    auc, pauc : float or None
        None without a normal and an anomaly at one client. pAUC is standardized at a false-positive rate of 0.1.
    auc_interval : (float, float) or None
        95 % bootstrap interval over the clips of each client.
    false_alarm_rate : float or None
        Share of normal test clips above the threshold.
    recall, f1 : float or None
        Of the anomalies, at the threshold.
    id_accuracy : float or None
        Share of normal test clips that the ID classifier gives to their own machine (paper, section V-C).
    """

    machine_type: str
    machine_id: str
    auc: float | None
    pauc: float | None
    auc_interval: tuple[float, float] | None
    false_alarm_rate: float | None
    recall: float | None
    f1: float | None
    id_accuracy: float | None

    @property
    def machine(self) -> str:
        """``"type/id"``."""
        return f"{self.machine_type}/{self.machine_id}"


@dataclass(frozen=True)
class Evaluation:
    """Results per machine, and their means."""

    machines: tuple[MachineResult, ...]

    def total(self, measure: str) -> float | None:
        """Mean of a measure over the machine IDs that have it (the paper's "total")."""
        return _mean([getattr(m, measure) for m in self.machines])

    def by_type(self, measure: str) -> dict[str, float | None]:
        """Mean of a measure over the IDs of each machine type."""
        values: dict[str, list[float | None]] = defaultdict(list)
        for machine in self.machines:
            values[machine.machine_type].append(getattr(machine, measure))
        return {machine_type: _mean(parts) for machine_type, parts in values.items()}

    def by_id(self, measure: str) -> dict[str, float | None]:
        """Return a measure of each machine."""
        return {m.machine: getattr(m, measure) for m in self.machines}


def evaluate(table: ScoreTable, machines: Iterable[tuple[str, str]] = ()) -> Evaluation:
    """Evaluate a run's scores per machine, in the order of type and ID.

    Parameters
    ----------
    table : ScoreTable
    machines : iterable of (str, str)
        Type and ID of machines to name even where no clip of theirs was scored.
    """
    rows: dict[tuple[str, str], list[ScoreRow]] = {machine: [] for machine in machines}
    for row in table.rows:
        rows.setdefault((row.machine_type, row.machine_id), []).append(row)
    return Evaluation(tuple(_evaluate_machine(machine, rows[machine]) for machine in sorted(rows)))


def _evaluate_machine(machine: tuple[str, str], rows: Sequence[ScoreRow]) -> MachineResult:
    from sklearn.metrics import roc_auc_score  # here, because it takes a second to import

    normals = [r for r in rows if r.label == NORMAL]
    anomalies = [r for r in rows if r.label == ANOMALY]
    strata = _strata(rows)
    return MachineResult(
        *machine,
        auc=_over_pairs(strata, lambda s: float(roc_auc_score(s.labels, s.scores))),
        pauc=_over_pairs(strata, lambda s: float(roc_auc_score(s.labels, s.scores, max_fpr=PAUC_MAX_FPR))),
        auc_interval=_bootstrap_interval(strata) if strata else None,
        false_alarm_rate=_share(normals, lambda r: r.decision == ANOMALY),
        recall=_share(anomalies, lambda r: r.decision == ANOMALY),
        f1=_f1(normals, anomalies),
        id_accuracy=_share([r for r in normals if r.id_correct is not None], lambda r: bool(r.id_correct)),
    )


@dataclass(frozen=True)
class _Stratum:
    """Scores of one machine's labelled clips at one client, of either kind at least one."""

    normal: ScoreArray
    anomaly: ScoreArray

    @property
    def pairs(self) -> int:
        return len(self.normal) * len(self.anomaly)

    @property
    def labels(self) -> np.ndarray:
        return np.repeat([NORMAL, ANOMALY], [len(self.normal), len(self.anomaly)])

    @property
    def scores(self) -> ScoreArray:
        return np.concatenate([self.normal, self.anomaly])


def _strata(rows: Sequence[ScoreRow]) -> list[_Stratum]:
    """One machine's clips, client by client; clients without both kinds are left out."""
    by_client: dict[int, list[ScoreRow]] = defaultdict(list)
    for row in rows:
        by_client[row.client].append(row)
    scores = [
        [np.array([r.anomaly_score for r in by_client[client] if r.label == kind]) for kind in (NORMAL, ANOMALY)]
        for client in sorted(by_client)
    ]
    return [_Stratum(normal, anomaly) for normal, anomaly in scores if len(normal) and len(anomaly)]


def _over_pairs(strata: Sequence[_Stratum], measure: Callable[[_Stratum], float]) -> float | None:
    """Mean of a measure over clients, weighted by their pairs; of one client, exactly its own."""
    pairs = sum(stratum.pairs for stratum in strata)
    return sum(stratum.pairs / pairs * measure(stratum) for stratum in strata) if strata else None


def _bootstrap_interval(strata: Sequence[_Stratum]) -> tuple[float, float]:
    """95 % percentile interval of the AUC; normals and anomalies are drawn apart, so that both are always there."""
    rng = np.random.default_rng(derive(0, "bootstrap"))

    def redrawn(s: _Stratum) -> float:
        return _auc(rng.choice(s.normal, len(s.normal)), rng.choice(s.anomaly, len(s.anomaly)))

    draws = np.array([_over_pairs(strata, redrawn) for _ in range(BOOTSTRAP_DRAWS)], np.float64)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _auc(normal: np.ndarray, anomaly: np.ndarray) -> float:
    """Mann-Whitney form of the AUC, ties counting half."""
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, anomaly, side="left")
    not_above = np.searchsorted(ordered, anomaly, side="right")
    return float((below + not_above).mean() / (2 * len(normal)))


def _f1(normals: Sequence[ScoreRow], anomalies: Sequence[ScoreRow]) -> float | None:
    if not normals or not anomalies:
        return None
    found = sum(r.decision for r in anomalies)
    false_alarms = sum(r.decision for r in normals)
    return 2 * found / (len(anomalies) + found + false_alarms)


def _share(rows: Sequence[ScoreRow], true: Callable[[ScoreRow], bool]) -> float | None:
    return sum(map(true, rows)) / len(rows) if rows else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
