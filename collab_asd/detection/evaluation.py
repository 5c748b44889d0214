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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from collab_asd.core.types import ANOMALY, NORMAL, ScoreRow, ScoreTable

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
    results, sections = [], []
    for machine in sorted(rows):
        results.append(_evaluate_machine(machine, rows[machine]))
        if any(row.domain for row in rows[machine]):
            sections.append(_evaluate_section(machine, rows[machine]))
    return Evaluation(tuple(results), tuple(sections))


def _evaluate_section(machine: tuple[str, str], rows: Sequence[ScoreRow]) -> SectionResult:
    apart = any(PurePosixPath(row.clip).parent.name in DOMAINS_APART for row in rows)
    source, target = (
        _strata([r for r in rows if r.domain == domain or (r.label == ANOMALY and not apart)])
        for domain in ("source", "target")
    )
    return SectionResult(
        *machine,
        auc_source=_auc(source),
        auc_target=_auc(target),
        pauc=_auc(_strata(rows), PAUC_MAX_FPR),
        pauc_source=_auc(source, PAUC_MAX_FPR),
        pauc_target=_auc(target, PAUC_MAX_FPR),
        domains_apart=apart,
    )


def _evaluate_machine(machine: tuple[str, str], rows: Sequence[ScoreRow]) -> MachineResult:
    strata, told = _strata(rows), [r.id_correct for r in rows if r.label == NORMAL and r.id_correct is not None]
    false_alarms = [r.decision for r in rows if r.label == NORMAL]
    found = [r.decision for r in rows if r.label == ANOMALY]
    auc, hits = _auc(strata), sum(found)
    return MachineResult(
        *machine,
        auc=auc,
        pauc=_auc(strata, PAUC_MAX_FPR),
        auc_interval=None if auc is None else (_lower_end(auc, strata), 1 - _lower_end(1 - auc, strata)),
        false_alarm_rate=sum(false_alarms) / len(false_alarms) if false_alarms else None,
        recall=hits / len(found) if found else None,
        f1=2 * hits / (len(found) + hits + sum(false_alarms)) if found and false_alarms else None,
        id_accuracy=sum(told) / len(told) if told else None,
        few_test_clips=bool(strata) and min(len(false_alarms), len(found)) < FEWEST_TEST_CLIPS,
    )


def _strata(rows: Sequence[ScoreRow]) -> list[tuple[list[float], list[float]]]:
    """Scores of one machine's normal clips and anomalies, client by client; clients without both are left out."""
    by_client: dict[int, dict[int | None, list[float]]] = {}
    for row in rows:
        own = by_client.setdefault(row.client, {NORMAL: [], ANOMALY: []})
        own.setdefault(row.label, []).append(row.anomaly_score)
    scores = [(by_client[client][NORMAL], by_client[client][ANOMALY]) for client in sorted(by_client)]
    return [(normal, anomaly) for normal, anomaly in scores if normal and anomaly]


def _auc(strata: Sequence[tuple[list[float], list[float]]], max_fpr: float | None = None) -> float | None:
    """Mean (partial) AUC of clients, weighted by their pairs; of one client, exactly its own."""
    from sklearn.metrics import roc_auc_score  # here, because it takes a second to import

    pairs = [len(normal) * len(anomaly) for normal, anomaly in strata]
    mean = 0.0
    for (normal, anomaly), own in zip(strata, pairs, strict=True):
        labels = np.repeat([NORMAL, ANOMALY], [len(normal), len(anomaly)])
        mean += own / sum(pairs) * float(roc_auc_score(labels, np.array(normal + anomaly), max_fpr=max_fpr))
    return mean if strata else None


def _lower_end(measured: float, strata: Sequence[tuple[list[float], list[float]]]) -> float:
    """Lowest AUC that is compatible with the measured one: it lies 1.96 of its own standard errors from it.

    The standard error is symmetric around 0.5. That of several clients is weighted as their AUCs are.
    """
    pairs = np.array([len(normal) * len(anomaly) for normal, anomaly in strata])
    neighbours = np.array([(len(normal) + len(anomaly)) / 2 - 1 for normal, anomaly in strata])

    def excess(auc: float) -> float:
        tied = (1 - auc) / (2 - auc) + auc / (1 + auc)  # pairs that have a clip in common are not independent
        variance = auc * (1 - auc) * sum((pairs * (1 + neighbours * tied)).tolist()) / int(pairs.sum()) ** 2
        return float((measured - auc) ** 2 - NORMAL_QUANTILE**2 * variance)

    from scipy.optimize import brentq  # here, because it takes long to import

    highest = measured - 1e-9  # at 1 itself the standard error is 0
    return float(brentq(excess, 0.0, highest)) if highest > 0 else 0.0


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _harmonic_mean(values: Sequence[float | None]) -> float | None:
    """As the official baseline does: a measure of 0 counts as the smallest step of a float above 1."""
    known = [max(v, float(np.finfo(np.float64).eps)) for v in values if v is not None]
    return len(known) / sum(1 / v for v in known) if known else None
