"""Read the folder of a comparison: finished runs as lines of a table, means over seeds with intervals."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy.stats import t as student

from collab_asd.core.errors import InputError, reason
from collab_asd.data.manifest import ManifestRow
from collab_asd.detection.intervals import Interval, LabelledScores, Machines, auc_interval, labelled_scores
from collab_asd.report.contents import MachineClips, Run, machine_clips
from collab_asd.report.reading import read_run, require_same_clips

CONFIDENCE = 0.95
Limits: TypeAlias = tuple[float, float]
UNLIMITED: Limits = (-math.inf, math.inf)
SHARE: Limits = (0.0, 1.0)  # an AUC, or a share of clips
DIFFERENCE: Limits = (-1.0, 1.0)  # of two shares


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and how sure it is.

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
    interval : Interval or None
        95 % interval over seeds and clips; None where the clips' scores are not at hand.
    limits : (float, float)
        What no value of the measure lies beyond, and so no interval.
    """

    mean: float
    deviation: float | None
    half_width: float | None
    n: int
    interval: Interval | None = None
    limits: Limits = UNLIMITED

    @property
    def low(self) -> float | None:
        """Lower end of the interval over seeds and clips, or else over seeds."""
        if self.interval:
            return self.interval.low
        return None if self.half_width is None else max(self.mean - self.half_width, self.limits[0])

    @property
    def high(self) -> float | None:
        """Upper end of the interval over seeds and clips, or else over seeds."""
        if self.interval:
            return self.interval.high
        return None if self.half_width is None else min(self.mean + self.half_width, self.limits[1])

    @property
    def is_symmetric(self) -> bool:
        """Whether the interval is over seeds alone and reaches as far to both sides."""
        half = self.half_width or 0.0
        return self.interval is None and self.limits[0] <= self.mean - half and self.mean + half <= self.limits[1]

    @property
    def arms(self) -> tuple[float, float]:
        """How far the interval reaches to the left and right of the mean, for an error bar; 0 where there is none."""
        if self.low is None or self.high is None:
            return 0.0, 0.0
        return max(self.mean - self.low, 0.0), max(self.high - self.mean, 0.0)

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is more than chance."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def clips_to_settle(self) -> float | None:
        """See `Interval.clips_to_settle`."""
        return None if self.interval is None else self.interval.clips_to_settle(self.mean)


def estimate(values: Iterable[float | None], limits: Limits = SHARE) -> Estimate | None:
    """Mean, deviation and interval of the values that there are, within limits; None if there is none."""
    known = [float(v) for v in values if v is not None]
    n = len(known)
    if n == 0:
        return None
    if n == 1:
        return Estimate(known[0], None, None, 1, limits=limits)
    deviation = float(np.std(known, ddof=1))
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, n - 1))
    return Estimate(float(np.mean(known)), deviation, quantile * deviation / math.sqrt(n), n, limits=limits)


def with_clips(value: Estimate | None, runs: Sequence[Machines], minus: Sequence[Machines] = ()) -> Estimate | None:
    """Add the interval over seeds and clips to a mean AUC or a difference of two; parameters as of `auc_interval`."""
    return value and replace(value, interval=auc_interval(runs, minus))


REFERENCE = "embedding-sharing"
"""The method that all others are measured against."""

TABLE, CELLS = "table.csv", "cells"
NEEDED = {"method", "encoder", "scorer", "state", "folder"}


@dataclass(frozen=True)
class Line:
    """What a line of a comparison's table is about: a method with one encoder and one scorer on one partition.

    Parameters
    ----------
    method : str
        As the experiment calls it.
    encoder, scorer : str
    partition : str
        Who held which clips, as the experiment calls it; empty where only one partition is compared.
    """

    method: str
    encoder: str
    scorer: str
    partition: str

    @property
    def label(self) -> str:
        """Method and scorer; the method alone where the scorer is in its name."""
        return self.method if self.method.endswith(f"-{self.scorer}") else f"{self.method}, {self.scorer}"


@dataclass(frozen=True)
class Entry(Line):
    """A line of a comparison with its runs, one per seed."""

    runs: tuple[Run, ...]

    @cached_property
    def labelled(self) -> list[dict[str, LabelledScores]]:
        """Scores of each machine's labelled clips, by seed."""
        return [labelled_scores(run.table) for run in self.runs]

    @cached_property
    def auc(self) -> Estimate | None:
        """AUC, mean over machines, over seeds and clips."""
        return with_clips(estimate(run.evaluation.total("auc") for run in self.runs), self.labelled)

    def minus(self, other: Entry) -> Estimate | None:
        """AUC minus another line's, over the seeds that both have and over clips."""
        of_seed = {run.summary["seed"]: number for number, run in enumerate(other.runs)}
        pairs = [(i, of_seed[run.summary["seed"]]) for i, run in enumerate(self.runs) if run.summary["seed"] in of_seed]
        totals = [[run.evaluation.total("auc") for run in line.runs] for line in (self, other)]
        differences = [a - b for i, k in pairs if (a := totals[0][i]) is not None and (b := totals[1][k]) is not None]
        own, theirs = [self.labelled[i] for i, _ in pairs], [other.labelled[k] for _, k in pairs]
        return with_clips(estimate(differences, DIFFERENCE), own, theirs)

    @property
    def id_accuracy(self) -> Estimate | None:
        """ID accuracy, mean over machines, over seeds; None of a method without an ID classifier."""
        return estimate(run.evaluation.total("id_accuracy") for run in self.runs)

    @property
    def false_alarm_rate(self) -> Estimate | None:
        """False-alarm rate, mean over machines, over seeds."""
        return estimate(run.evaluation.total("false_alarm_rate") for run in self.runs)

    @property
    def recall(self) -> Estimate | None:
        """Share of faults that raised an alarm, mean over machines, over seeds."""
        return estimate(run.evaluation.total("recall") for run in self.runs)

    def auc_of(self, machine: str) -> Estimate | None:
        """AUC of a machine (``"type/id"``) over seeds and clips; None where it cannot be measured."""
        own = [{machine: of_seed[machine]} for of_seed in self.labelled if machine in of_seed]
        return with_clips(estimate(run.evaluation.by_id("auc").get(machine) for run in self.runs), own)

    def clips(self, machine: str) -> list[MachineClips]:
        """Return the machine's scored test clips, one element per seed."""
        return [clips for run in self.runs for clips in machine_clips(run) if clips.name == machine]


@dataclass(frozen=True, eq=False)
class Comparison:
    """The finished runs of a comparison, in the order of its table."""

    entries: tuple[Entry, ...]

    @property
    def encoders(self) -> list[str]:
        """Encoders that were compared."""
        return list(dict.fromkeys(entry.encoder for entry in self.entries))

    @property
    def machines(self) -> list[str]:
        """Return the machines (``"type/id"``) that have an AUC."""
        return [m.machine for m in self.entries[0].runs[0].evaluation.machines if m.auc is not None]

    @property
    def manifests(self) -> dict[str, tuple[ManifestRow, ...]]:
        """Return who held which clips, by partition; where it was drawn by chance, with the first seed."""
        first: dict[str, Entry] = {}
        for entry in self.entries:
            first.setdefault(entry.partition, entry)
        return {partition: entry.runs[0].manifest for partition, entry in first.items()}

    def of(self, encoder: str) -> list[Entry]:
        """Return the lines of one encoder."""
        return [entry for entry in self.entries if entry.encoder == encoder]

    def pick(self, encoder: str, methods: Iterable[str]) -> list[Entry]:
        """Return the first line of each of these methods with one encoder; methods that were not compared are left out.

        Raises
        ------
        InputError
            None of them was.
        """
        first: dict[str, Entry] = {}
        for entry in self.of(encoder):
            first.setdefault(entry.method, entry)
        wanted = list(methods)
        if picked := [first[method] for method in wanted if method in first]:
            return picked
        raise InputError(
            f"{', '.join(wanted)}: none was compared with encoder {encoder!r}; there are {', '.join(first)}"
        )

    def worst_machine(self, entry: Entry) -> str:
        """Return the machine with the lowest mean AUC under one method."""
        means = {machine: auc.mean for machine in self.machines if (auc := entry.auc_of(machine))}
        return min(means, key=means.__getitem__)


def read_comparison(folder: Path) -> Comparison:
    """Read what ``collab-asd compare`` wrote.

    Parameters
    ----------
    folder : Path
        May have moved since: runs are looked for in its ``cells``.

    Raises
    ------
    InputError
        The folder is no comparison, nothing in it is finished, or its runs are on different clips.
    """
    rows = [row for row in _read_table(folder / TABLE) if row["state"] == "finished"]
    if not rows:
        raise InputError(f"{folder}: no run of this comparison is finished; run the comparison again")
    runs: dict[tuple[str, str, str, str], list[Run]] = {}
    for row in rows:
        run = read_run(folder / CELLS / Path(row["folder"]).name)
        line = (row["method"], row["encoder"], row["scorer"], row.get("partition", ""))
        runs.setdefault(line, []).append(run)
    require_same_clips([run for seeds in runs.values() for run in seeds])
    return Comparison(tuple(Entry(*line, tuple(seeds)) for line, seeds in runs.items()))


def _read_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: not the table of a comparison ({reason(error)}); "
            "make one: collab-asd compare EXPERIMENT --out FOLDER"
        ) from error
    if missing := NEEDED - set(rows[0] if rows else ()):
        raise InputError(f"{path}: has no {', '.join(sorted(missing))}; make it anew with collab-asd compare")
    return rows
