"""Decode every clip, and say all that is wrong with a data set at once.

`check` makes the report, `require_good` turns it into a refusal: a run on bad data stops with the same words.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL, Clip, ScoreArray
from collab_asd.data.audio import ClipError, Remark, load_audio, signal_fault
from collab_asd.data.duplicates import landmarks, shared_sound
from collab_asd.data.layouts import clip_name, file_name
from collab_asd.data.problems import (
    ONLY_OF_GROUP,
    Problem,
    Severity,
    describe,
    machine_problems,
    mislabelled,
    nearly_repeated,
    repeated,
    too_few_distinct,
)
from collab_asd.data.recorder import inconsistencies
from collab_asd.data.recordings import file_sizes, in_threads
from collab_asd.data.statistics import ClipStatistics, measure


@dataclass(frozen=True)
class MachineRow:
    """The clips of one machine.

    Parameters
    ----------
    machine_type, machine_id : str
    train_normal, train_anomaly, train_unlabelled, test_normal, test_anomaly, test_unlabelled : int
        Clips by split and label, decodable or not.
    seconds, shortest, longest : float
        Length of all decodable clips together, of the shortest and of the longest one, s.
    rates : tuple of int
        Sample rates that occur, Hz.
    channels : tuple of int
        Numbers of channels that occur.
    """

    machine_type: str
    machine_id: str
    train_normal: int
    train_anomaly: int
    train_unlabelled: int
    test_normal: int
    test_anomaly: int
    test_unlabelled: int
    seconds: float
    shortest: float
    longest: float
    rates: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True)
class DataReport:
    """What `check` found.

    Parameters
    ----------
    machines : tuple of MachineRow
        By machine type and ID.
    problems : tuple of Problem
    group_by : str
        As `check` was called.
    judge : callable
        Finds the problems that are left once the files of some paths are left out.
    """

    machines: tuple[MachineRow, ...]
    problems: tuple[Problem, ...]
    group_by: str
    judge: Callable[[Collection[Path]], list[Problem]]

    @property
    def fits_without_sharing(self) -> bool:
        """Whether a method that shares nothing can run on the data."""
        return all(problem.what == ONLY_OF_GROUP for problem in self.problems if problem.severity == "error")

    def count(self, severity: Severity) -> int:
        """How many problems there are of one severity."""
        return sum(problem.severity == severity for problem in self.problems)


class _Examined(NamedTuple):
    """What is kept of a clip: its samples are not."""

    clip: Clip
    fault: ClipError | None
    statistics: ClipStatistics | None = None  # of a clip that can be decoded, however short
    audio_hash: str = ""
    remarks: tuple[Remark, ...] = ()
    marks: ScoreArray | None = None


def check(
    data_dir: Path,
    clips: Sequence[Clip],
    min_seconds: float = 1.0,
    group_by: str = "machine-type",
    shares: bool = True,
    allow_mixed: bool = False,
    refused: Sequence[ClipError] = (),
    unread: Sequence[Path] = (),
    left_out: Sequence[ClipError] = (),
) -> DataReport:
    """Decode all clips and collect all problems.

    Parameters
    ----------
    data_dir : Path
        What the clips were found in.
    clips : sequence of Clip
    min_seconds : float
        The shortest clip that makes one window of the encoder, s.
    group_by : {"machine-type", "all"}
    shares : bool
        Whether the method trains over several machines.
    allow_mixed : bool
        Whether the clips of a machine may differ in what no machine causes: warnings, not errors.
    refused, unread, left_out : sequence
        Files of the folder that are no clips (`collab_asd.data.layouts.Listing`).
    """
    sizes = file_sizes(clip.path for clip in clips)
    examined = list(in_threads(partial(_examine, min_seconds=min_seconds), clips, "decoding recordings", sizes))
    name = partial(clip_name, data_dir=data_dir)
    marked = {result.audio_hash: result for result in examined if result.marks is not None}.values()
    pairs = shared_sound(
        [result.clip for result in marked], [result.marks for result in marked if result.marks is not None]
    )

    def judge(without: Collection[Path]) -> list[Problem]:
        left = [result for result in examined if result.clip.path not in without]
        sound = [(result.clip, result.audio_hash) for result in left if not result.fault]
        near = [pair for pair in pairs if pair[0].path not in without and pair[1].path not in without]
        measured = [(result.clip, result.statistics) for result in left if result.statistics and not result.fault]
        return [
            *(_unusable(fault, file_name(fault.path, data_dir)) for fault in refused if fault.path not in without),
            *(_unread(file_name(path, data_dir)) for path in unread),
            *(Problem("note", file_name(f.path, data_dir), f.what, f.remedy) for f in left_out),
            *(_unusable(result.fault, name(result.clip)) for result in left if result.fault),
            *(_remark(name(result.clip), remark) for result in left for remark in result.remarks),
            *mislabelled([result.clip for result in left], name),
            *repeated(sound, name),
            *nearly_repeated(near, name),
            *too_few_distinct(sound, near),
            *inconsistencies(measured, name, allow_mixed),
            *machine_problems([result.clip for result in left], group_by, shares),
        ]

    return DataReport(tuple(_machine_rows(examined)), tuple(judge(())), group_by, judge)


def require_good(clips: Sequence[Clip], report: DataReport, skip_bad: bool) -> tuple[list[Clip], list[str]]:
    """Refuse clips that a run would come out wrong with, or leave out the bad files.

    Parameters
    ----------
    clips : sequence of Clip
        Those that the report is about.
    report : DataReport
    skip_bad : bool
        Leave out the files that are at fault.

    Returns
    -------
    kept : list of Clip
    left_out : list of str
        One line per kind of fault, naming up to five files; the report has all of them.

    Raises
    ------
    InputError
        With all errors, if there are any; with ``skip_bad``, with those that remain without the bad files.
    """
    errors = [problem for problem in report.problems if problem.severity == "error"]
    if not skip_bad:
        _raise(errors, ", or leave out the bad files with --skip-bad" if any(p.path for p in errors) else "")
        return list(clips), []
    skipped = [problem for problem in errors if problem.path]
    bad = {problem.path for problem in skipped if problem.path}
    kept = [clip for clip in clips if clip.path not in bad]
    if not kept:
        _raise(errors, ": no clip is left")
    _raise([problem for problem in report.judge(bad) if problem.severity == "error"])
    return kept, [line for _, line in describe(skipped)]


def _raise(errors: Sequence[Problem], advice: str = "") -> None:
    if errors:
        lines = "\n".join(f"- {line}" for _, line in describe(errors))
        alone = all(problem.what == ONLY_OF_GROUP for problem in errors)
        fault = "the data are not fit to share" if alone else f"the data are not fit to train on; fix them{advice}"
        raise InputError(f"{fault}:\n{lines}")


def _examine(clip: Clip, min_seconds: float) -> _Examined:
    try:
        audio = load_audio(clip)
    except ClipError as error:
        return _Examined(clip, error)
    fault = signal_fault(clip.path, audio, min_seconds)
    audio_hash = hashlib.sha256(audio.waveform.tobytes()).hexdigest()
    if fault:
        return _Examined(clip, fault, measure(audio), audio_hash)
    return _Examined(clip, None, measure(audio), audio_hash, audio.remarks, landmarks(audio))


def _unusable(fault: ClipError, name: str) -> Problem:
    return Problem("error", name, fault.what, fault.remedy, fault.path, fault.detail)


def _remark(name: str, remark: Remark) -> Problem:
    return Problem(remark.severity, name, remark.what, remark.remedy, detail=remark.detail)


def _unread(name: str) -> Problem:
    what = "a recording that the data folder's table does not list, or its layout does not read"
    return Problem("warning", name, what, "list it, or move it out of the data folder")


def _machine_rows(examined: Iterable[_Examined]) -> list[MachineRow]:
    held: defaultdict[tuple[str, str], list[_Examined]] = defaultdict(list)
    for result in examined:
        held[result.clip.machine_type, result.clip.machine_id].append(result)
    return [_machine_row(*machine, held[machine]) for machine in sorted(held)]


def _machine_row(machine_type: str, machine_id: str, examined: Sequence[_Examined]) -> MachineRow:
    kinds = [(result.clip.split, result.clip.label) for result in examined]
    decoded = [result.statistics for result in examined if result.statistics]
    lengths = [result.seconds for result in decoded] or [0.0]
    return MachineRow(
        machine_type,
        machine_id,
        train_normal=kinds.count(("train", NORMAL)),
        train_anomaly=kinds.count(("train", ANOMALY)),
        train_unlabelled=kinds.count(("train", None)),
        test_normal=kinds.count(("test", NORMAL)),
        test_anomaly=kinds.count(("test", ANOMALY)),
        test_unlabelled=kinds.count(("test", None)),
        seconds=sum(lengths),
        shortest=min(lengths),
        longest=max(lengths),
        rates=tuple(sorted({result.rate for result in decoded})),
        channels=tuple(sorted({result.channels for result in decoded})),
    )
