"""What the labels of test clips say of their scores: AUC, pAUC, decisions and ID accuracy per machine.

Where several clients hold clips of one machine, each has a detector of its own, and scores of two detectors are on
different scales. AUC and pAUC are then the means of the clients', weighted by their numbers of pairs (a normal, an
anomaly): the AUC is the share of pairs *within a client* that are in order. Clients that have clips of one kind alone
have no pairs. Decisions can be compared, so their measures are over all clips of the machine.

An AUC from few clips says little, and a detector that ranks all of them rightly has an interval, too: it is Newcombe's,
which does not shrink to a point there as a bootstrap does. `MachineResult.few_test_clips` marks what was measured on
fewer than 10 clips of either kind, where one clip can move the AUC by more than 0.1.

Where test clips have a domain, source or target, each section is evaluated as DCASE's later years ask for. From 2022 on
the AUC of a domain ranks its normal clips against the anomalies of both, and there is one pAUC of a section. In 2021,
told from the folders ``source_test`` and ``target_test``, AUC and pAUC are of each domain alone. The official score is
the harmonic mean of these over all sections.

References
----------
R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
Statistics in Medicine 25, 2006, method 5.
Koizumi et al., "Description and discussion on DCASE2020 Challenge Task2", DCASE Workshop 2020 (AUC, pAUC with p = 0.1).
Kawaguchi et al., "Description and discussion on DCASE 2021 Challenge Task 2", DCASE Workshop 2021.
Dohi et al., "Description and discussion on DCASE 2022 Challenge Task 2", DCASE Workshop 2022 (domain generalization).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from collab_asd.core.types import ANOMALY, NORMAL, ScoreArray, ScoreRow, ScoreTable

PAUC_MAX_FPR = 0.1
FEWEST_TEST_CLIPS = 10
"""Of either kind: with fewer, one clip can move the AUC by more than 0.1."""
NORMAL_QUANTILE = 1.959964  # of 97.5 %
DOMAINS_APART = ("source_test", "target_test")  # folders of 2021
MEANS = ("auc", "pauc", "id_accuracy", "false_alarm_rate", "recall", "f1")


@dataclass(frozen=True)
class MachineResult:
    """What one run found out about one machine; fractions, or None where there is nothing to measure it on.

    Parameters
    ----------
    auc, pauc : float or None
        None without a normal and an anomaly at one client. pAUC is standardized at a false-positive rate of 0.1.
    auc_interval : (float, float) or None
        95 % interval: where the AUC would lie on other clips of the same machine.
    false_alarm_rate : float or None
        Share of normal test clips above the threshold.
    recall, f1 : float or None
        Of the anomalies, at the threshold.
    id_accuracy : float or None
        Share of normal test clips that the ID classifier gives to their own machine (paper, section V-C).
    few_test_clips : bool
        The AUC is measured on fewer than 10 normal or 10 faulty clips.
    few_threshold_clips : bool
        The threshold was set from so few normal clips that its false-alarm rate is uncertain
        (`collab_asd.detection.thresholds.is_uncertain`).
    misfit : bool
        The covariances of other machines, with which it is scored, do not suit it: sharing may make it worse.
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
    few_test_clips: bool = False
    few_threshold_clips: bool = False
    misfit: bool = False

    @property
    def machine(self) -> str:
        """``"type/id"``."""
        return f"{self.machine_type}/{self.machine_id}"


@dataclass(frozen=True)
class SectionResult:
    """What one run found out about a section in each domain; fractions, or None where there is nothing to measure.

    Parameters
    ----------
    auc_source, auc_target : float or None
    pauc : float or None
        Of both domains together.
    pauc_source, pauc_target : float or None
    domains_apart : bool
        As in 2021: the measures of a domain are of its own anomalies, and the official score takes its pAUC.
    """

    machine_type: str
    machine_id: str
    auc_source: float | None
    auc_target: float | None
    pauc: float | None
    pauc_source: float | None
    pauc_target: float | None
    domains_apart: bool = False

    @property
    def machine(self) -> str:
        """``"type/section_00"``."""
        return f"{self.machine_type}/{self.machine_id}"

    @property
    def official(self) -> tuple[float | None, ...]:
        """Return what the official score is the harmonic mean of."""
        paucs = (self.pauc_source, self.pauc_target) if self.domains_apart else (self.pauc,)
        return (self.auc_source, self.auc_target, *paucs)


@dataclass(frozen=True)
class Evaluation:
    """Results per machine, and their means; and per section and domain, where test clips have domains."""

    machines: tuple[MachineResult, ...]
    sections: tuple[SectionResult, ...] = ()

    @property
    def official_score(self) -> float | None:
        """Harmonic mean over all sections, as DCASE ranks by from 2021 on; None without domains or labels."""
        return _harmonic_mean([value for section in self.sections for value in section.official])

    def official_by_type(self) -> dict[str, float | None]:
        """Return the official score of each machine type."""
        values: dict[str, list[float | None]] = defaultdict(list)
        for section in self.sections:
            values[section.machine_type] += section.official
        return {machine_type: _harmonic_mean(parts) for machine_type, parts in values.items()}

    def total(self, measure: str) -> float | None:
        """Mean of a measure over the machine IDs that have it (the paper's "total")."""
        return _mean([getattr(m, measure) for m in self.machines])

    def by_type(self, measure: str) -> dict[str, float | None]:
        """Mean of a measure over the IDs of each machine type."""
        values: dict[str, list[float | None]] = defaultdict(list)
        for machine in self.machines:
            values[machine.machine_type].append(getattr(machine, measure))
        return {machine_type: _mean(parts) for machine_type, parts in values.items()}

    def figures(self) -> dict[str, float]:
        """Return all means over machines that are known, and each machine's AUC as ``"auc/type/id"``."""
        means = {measure: self.total(measure) for measure in MEANS}
        found = means | {f"auc/{machine}": auc for machine, auc in self.by_id("auc").items()}
        return {name: value for name, value in found.items() if value is not None}

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
    return Evaluation(
        tuple(_evaluate_machine(machine, rows[machine]) for machine in sorted(rows)),
        tuple(
            _evaluate_section(machine, rows[machine])
            for machine in sorted(rows)
            if any(row.domain for row in rows[machine])
        ),
    )


def _evaluate_section(machine: tuple[str, str], rows: Sequence[ScoreRow]) -> SectionResult:
    apart = any(PurePosixPath(row.clip).parent.name in DOMAINS_APART for row in rows)
    strata = {
        domain: _strata([r for r in rows if r.domain == domain or (r.label == ANOMALY and not apart)])
        for domain in ("source", "target")
    }
    return SectionResult(
        *machine,
        auc_source=_over_pairs(strata["source"], _roc_auc),
        auc_target=_over_pairs(strata["target"], _roc_auc),
        pauc=_over_pairs(_strata(rows), _partial_auc),
        pauc_source=_over_pairs(strata["source"], _partial_auc),
        pauc_target=_over_pairs(strata["target"], _partial_auc),
        domains_apart=apart,
    )


def _evaluate_machine(machine: tuple[str, str], rows: Sequence[ScoreRow]) -> MachineResult:
    normals = [r for r in rows if r.label == NORMAL]
    anomalies = [r for r in rows if r.label == ANOMALY]
    strata = _strata(rows)
    return MachineResult(
        *machine,
        auc=_over_pairs(strata, _roc_auc),
        pauc=_over_pairs(strata, _partial_auc),
        auc_interval=_interval(strata) if strata else None,
        false_alarm_rate=_share(normals, lambda r: r.decision == ANOMALY),
        recall=_share(anomalies, lambda r: r.decision == ANOMALY),
        f1=_f1(normals, anomalies),
        id_accuracy=_share([r for r in normals if r.id_correct is not None], lambda r: bool(r.id_correct)),
        few_test_clips=bool(strata) and min(len(normals), len(anomalies)) < FEWEST_TEST_CLIPS,
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


def _roc_auc(stratum: _Stratum, max_fpr: float | None = None) -> float:
    from sklearn.metrics import roc_auc_score  # here, because it takes a second to import

    return float(roc_auc_score(stratum.labels, stratum.scores, max_fpr=max_fpr))


def _partial_auc(stratum: _Stratum) -> float:
    return _roc_auc(stratum, PAUC_MAX_FPR)


def _over_pairs(strata: Sequence[_Stratum], measure: Callable[[_Stratum], float]) -> float | None:
    """Mean of a measure over clients, weighted by their pairs; of one client, exactly its own."""
    pairs = sum(stratum.pairs for stratum in strata)
    return sum(stratum.pairs / pairs * measure(stratum) for stratum in strata) if strata else None


def _interval(strata: Sequence[_Stratum]) -> tuple[float, float]:
    """95 % interval of the AUC: all values that lie within 1.96 of their own standard errors from the measured one."""
    measured = _over_pairs(strata, _roc_auc)
    assert measured is not None
    return _lower_end(measured, strata), 1 - _lower_end(1 - measured, strata)


def _lower_end(measured: float, strata: Sequence[_Stratum]) -> float:
    """Lowest AUC that is compatible with the measured one; the standard error is symmetric around 0.5."""

    def excess(auc: float) -> float:
        return (measured - auc) ** 2 - NORMAL_QUANTILE**2 * _variance(auc, strata)

    from scipy.optimize import brentq  # here, because it takes long to import

    highest = measured - 1e-9  # at 1 itself the standard error is 0
    return float(brentq(excess, 0.0, highest)) if highest > 0 else 0.0


def _variance(auc: float, strata: Sequence[_Stratum]) -> float:
    """Variance of a measured AUC around the true one, of several clients weighted as their AUCs are."""
    pairs = sum(stratum.pairs for stratum in strata)
    tied = (1 - auc) / (2 - auc) + auc / (1 + auc)  # pairs that have a clip in common are not independent
    parts = [s.pairs * (1 + ((len(s.normal) + len(s.anomaly)) / 2 - 1) * tied) for s in strata]
    return auc * (1 - auc) * sum(parts) / pairs**2


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


def _harmonic_mean(values: Sequence[float | None]) -> float | None:
    """As the official baseline does: a measure of 0 counts as the smallest step of a float above 1."""
    known = [max(v, float(np.finfo(np.float64).eps)) for v in values if v is not None]
    return len(known) / sum(1 / v for v in known) if known else None
