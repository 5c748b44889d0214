"""What a run found out, and the terms of the page, in words that need no knowledge of the field."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from collab_asd.core.errors import InputError
from collab_asd.core.types import ANOMALY, NORMAL
from collab_asd.detection.evaluation import FEWEST_TEST_CLIPS, MachineResult
from collab_asd.methods import METHODS
from collab_asd.report.contents import ClipPortrait, KeptDetector, MachineClips, Run, machine_clips, pooled, used_clips

LABELS = {"normal": NORMAL, "faulty": ANOMALY, "not labelled": None}
NAMES_SHOWN = 5
SINGLE_PLACE = 0.2  # share of an alarm's excess that one patch must explain to be called its place
SURPRISE = 0.05  # a rate is called higher or lower than asked for if chance alone makes it so less often than this
ALIKE = 0.02  # rates that differ by no more are called the same


@dataclass(frozen=True)
class Fact:
    """One figure of the headline, and what it counts."""

    figure: str
    words: str


@dataclass(frozen=True)
class NextSteps:
    """What to do about machines without test recordings.

    Parameters
    ----------
    now : str
        What can be done with what the run has left.
    command : str
        How; empty where nothing can.
    later : str
        How to measure what could not be measured.
    """

    now: str
    command: str
    later: str


def next_steps(machines: Sequence[str], detectors: Sequence[KeptDetector], config: Mapping[str, Any]) -> NextSteps:
    """Say what to do about machines without test recordings.

    Parameters
    ----------
    machines : sequence of str
        ``"type/id"`` of each.
    detectors : sequence of KeptDetector
        Those that the run has left, of any machine.
    config : mapping
        Configuration of the run.
    """
    missing = f"No test recordings yet: {listed(machines)}."
    later = "To measure how many faults are found, add test recordings, normal and faulty, and run into a new folder."
    usable = [detector for detector in detectors if detector.machine in machines]
    if not usable:
        change = "--set inference=client" if config.get("inference") == "server" else "--method local-mahalanobis"
        return NextSteps(f"{missing} This run left no detector for new recordings; one with {change} does.", "", later)
    keys = {"encoder-key-file": "--key-file", "rotation-key-file": "--rotation-key-file"}
    options = "".join(f" {option} KEY" for key, option in keys.items() if config.get(key))
    command = f"collab-asd score {shlex.quote(str(usable[0].folder / usable[0].name))} NEW-RECORDINGS{options}"
    return NextSteps(f"{missing} To judge new recordings of {usable[0].machine}:", command, later)


def facts(run: Run) -> list[Fact]:
    """Return the figures of the headline; only those that the labels allow."""
    machines = machine_clips(run)
    found, faults = pooled(machines, ANOMALY)
    false_alarms, normals = pooled(machines, NORMAL)
    alarms, unlabelled = pooled(machines, None)
    asked = run.summary["config"].get("false-alarm-rate")
    facts = []
    if faults:
        facts.append(Fact(f"{found} of {faults}", f"faulty recordings raised an alarm; {faults - found} were missed"))
    if normals:
        share = f"{percent(false_alarms / normals)}; asked for: {percent(asked)}" if asked else "false alarms"
        facts.append(Fact(f"{false_alarms} of {normals}", f"normal recordings raised a false alarm ({share})"))
    if unlabelled:
        facts.append(Fact(f"{alarms} of {unlabelled}", "recordings that nobody has labelled raised an alarm"))
    if (mean := run.evaluation.total("auc")) is not None:
        facts.append(
            Fact(of_hundred(mean), "pairs of a faulty and a normal recording ranked rightly; guessing gives 50")
        )
    return facts


def ranking(run: Run) -> str:
    """Say what the AUC is, whatever the thresholds."""
    mean = run.evaluation.total("auc")
    if not run.table.rows:
        return "Nothing has been judged yet: there are no test recordings."
    if mean is None:
        return (
            "How well faults are told from normal sound cannot be said: no machine has test recordings of both kinds, "
            "labelled normal and labelled faulty."
        )
    measured = [m for m in run.evaluation.machines if m.auc is not None]
    over = f" (mean over {len(measured)} machines)" if len(measured) > 1 else ""
    return (
        f"Of a random faulty and a random normal recording of the same machine, the faulty one gets the higher anomaly "
        f"score in {of_hundred(mean)} cases{over}. Guessing would give 50."
    )


def story(run: Run) -> list[str]:
    """Return the sentences behind the verdict: what was done, where it worked, and what was found wanting."""
    machines = machine_clips(run)
    return [
        f"{method_words(run.summary['method'])} {_recordings(run)}",
        *_range_of_machines([m for m in run.evaluation.machines if m.auc is not None]),
        *_unmeasured(run.evaluation.machines),
        *_too_few(run.evaluation.machines),
        *_misfits(run.evaluation.machines),
        *_false_alarms(run, machines),
        *_reservations(run),
    ]


def comparison_verdict(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Return the mean AUC of each run, best first, and name those that have none."""
    ranked = _ranked(runs, names)
    if len(ranked) < 2:
        return "Which run is better cannot be said: no machine has labelled test recordings of both kinds."
    (best, name, _), *others = ranked
    shares = [f"{of_hundred(best)} cases with {name}", *(f"{of_hundred(auc)} with {other}" for auc, other, _ in others)]
    unknown = [name for name in names if name not in {ranked_name for _, ranked_name, _ in ranked}]
    rest = f" Not known, for want of scores or labels: {_joined(unknown)}." if unknown else ""
    return (
        f"The faulty one of two recordings gets the higher anomaly score in {_joined(shares)}; guessing gives 50.{rest}"
    )


def comparison_story(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Return what the best run is ahead by, what all decided, what they were given, and what each method does."""
    sentences, ranked = [], _ranked(runs, names)
    if len(ranked) > 1:
        (_, name, run), *others = ranked
        ahead = [f"of {other} on {_machines_ahead(run, other_run)}" for _, other, other_run in others]
        sentences.append(
            f"{name} is ahead {_joined(ahead)}. Differences much smaller than the figure's intervals may be chance."
        )
        decided = "; ".join(f"{label} {_decided(r)}" for _, label, r in ranked)
        sentences.append(f"At the thresholds in use, {decided}.{_other_rates([run for _, _, run in ranked])}")
    methods = dict.fromkeys(run.summary["method"] for run in runs)
    return [*sentences, _recordings(runs[0]), *(f"{method}: {method_words(method)}" for method in methods)]


def _ranked(runs: Sequence[Run], names: Sequence[str]) -> list[tuple[float, str, Run]]:
    """Return the runs that have an AUC with their names, best first."""
    totals = [(run.evaluation.total("auc"), name, run) for run, name in zip(runs, names, strict=True)]
    return sorted([(auc, name, run) for auc, name, run in totals if auc is not None], key=lambda entry: -entry[0])


def _machines_ahead(run: Run, other: Run) -> str:
    ours, theirs = (r.evaluation.by_id("auc") for r in (run, other))
    gains = [a - b for m, a in ours.items() if a is not None and (b := theirs.get(m)) is not None]
    behind = sum(gain < 0 for gain in gains)
    return f"{sum(gain > 0 for gain in gains)} of {len(gains)} machines{f' and behind on {behind}' if behind else ''}"


def _joined(parts: Sequence[str]) -> str:
    """Join as a sentence does: ``"a"``, ``"a and b"``, ``"a, b and c"``."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _decided(run: Run) -> str:
    """Count what a run found and its false alarms."""
    faults = [row for row in run.table.rows if row.label == ANOMALY]
    normals = [row for row in run.table.rows if row.label == NORMAL]
    alarms = sum(row.decision for row in normals)
    return (
        f"found {sum(row.decision for row in faults)} of {len(faults)} faults and raised "
        f"{alarms} false alarm{'' if alarms == 1 else 's'} on {len(normals)} normal recordings"
    )


def _other_rates(runs: Sequence[Run]) -> str:
    """Warn of counting found faults where some runs alarm more often than others on normal recordings."""
    rates = []
    for run in runs:
        false_alarms, normals = pooled(machine_clips(run), NORMAL)
        rates += [false_alarms / normals] if normals else []
    if not rates or max(rates) - min(rates) <= ALIKE:
        return ""
    return (
        f" They alarm on different shares of normal recordings ({percent(min(rates))} to {percent(max(rates))}), and "
        "whoever alarms more often finds more faults: compare AUC and pAUC, which depend on no threshold."
    )


def portrait_words(clip: ClipPortrait) -> str:
    """Say what happened to a clip, and by how much."""
    alarm = clip.score > clip.threshold
    happened = {
        (NORMAL, True): "False alarm on a normal recording",
        (NORMAL, False): "Normal, and no alarm",
        (ANOMALY, True): "Fault found",
        (ANOMALY, False): "Fault missed",
        (None, True): "Alarm",
        (None, False): "No alarm",
    }[clip.label, alarm]
    where = "above" if alarm else "below"
    distance = abs(clip.score - clip.threshold)
    return f"{happened}: score {clip.score:.3g}, which is {distance:.3g} {where} the threshold of {clip.threshold:.3g}."


def heat_words(clip: ClipPortrait) -> str:
    """Say what the darkest patch of the heat map means; without one, why an alarm has none."""
    if clip.skipped:
        return (
            "No heat map: this encoder would take too long to hear the recording again without one patch after the "
            "other. collab-asd score --explain does it."
        )
    if clip.heat is None:
        return ""
    most = float(clip.heat.values.max())
    if most <= 0:
        return "No single patch raised the score: the heat map is empty."
    return (
        f"Without the deepest orange patch alone the score would be {most:.2g} lower: {clip.score - most:.3g} in place "
        f"of {clip.score:.3g}.{_spread(clip, most)}"
    )


def _spread(clip: ClipPortrait, most: float) -> str:
    excess = clip.score - clip.threshold
    if excess <= 0 or most >= SINGLE_PLACE * excess:
        return ""
    return f" That is {percent(most / excess)} of what lies above the threshold: no single place explains this alarm."


def of_hundred(share: float) -> str:
    """``0.926`` as ``"93 of 100"``; never 0 or 100 for what is not."""
    if 0 < share < 0.005:
        return "under 1 of 100"
    if 0.995 <= share < 1:
        return "over 99 of 100"
    return f"{share * 100:.0f} of 100"


def percent(share: float) -> str:
    """``0.146`` as ``"14.6 %"``, which no line break may part."""
    return f"{round(share * 100, 1):g}\N{NO-BREAK SPACE}%"


def listed(names: Sequence[str]) -> str:
    """Join up to five names; the others are counted."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def method_words(method: str) -> str:
    """Say what a method does, to a reader from outside the field."""
    try:
        return METHODS.find(method).summary
    except InputError:  # of a package that is installed where the run was made
        return f"The method {method} was used."


def decides_scorer(method: str) -> bool:
    """Whether a method has a scorer of its own, which its name stands for."""
    try:
        return bool(METHODS.find(method).scorer)
    except InputError:  # of a package that is installed where the run was made
        return False


def _recordings(run: Run) -> str:
    machines = machine_clips(run)
    learned = sum(used_clips(run).values())
    clips = {kind: sum(m.count(label) for m in machines) for kind, label in LABELS.items()}
    kinds = ", ".join(f"{count} {kind}" for kind, count in clips.items() if count)
    judged = f"; then {sum(clips.values())} other recordings were judged: {kinds}" if kinds else ""
    return (
        f"What is normal was learned from {learned} recordings of {len(machines)} "
        f"{'machine' if len(machines) == 1 else 'machines'} in normal operation{judged}."
    )


def _range_of_machines(measured: Sequence[MachineResult]) -> Iterator[str]:
    if len(measured) > 1:
        ranked = sorted(measured, key=lambda m: m.auc or 0.0)
        hardest, easiest = ranked[0], ranked[-1]
        yield (
            f"Easiest machine: {easiest.machine} ({of_hundred(easiest.auc or 0.0)}). "
            f"Hardest: {hardest.machine} ({of_hundred(hardest.auc or 0.0)})."
        )
    guessing = [m.machine for m in measured if m.auc_interval and m.auc_interval[0] <= 0.5 <= m.auc_interval[1]]
    worse = [m.machine for m in measured if m.auc_interval and m.auc_interval[1] < 0.5]
    if guessing:
        yield (
            f"No better than guessing, as far as these recordings can tell: {listed(guessing)}. "
            "Do not rely on the alarms there."
        )
    if worse:
        yield f"Worse than guessing (faulty recordings look more normal than normal ones): {listed(worse)}."


def _unmeasured(machines: Sequence[MachineResult]) -> Iterator[str]:
    unmeasured = [m.machine for m in machines if m.auc is None]
    if 0 < len(unmeasured) < len(machines):
        yield f"Not measured, for want of labelled recordings of both kinds: {listed(unmeasured)}."


def _too_few(machines: Sequence[MachineResult]) -> Iterator[str]:
    few = [m.machine for m in machines if m.few_test_clips]
    if few:
        yield (
            f"Too few test recordings to rely on the figure (under {FEWEST_TEST_CLIPS} normal or {FEWEST_TEST_CLIPS} "
            f"faulty ones): {listed(few)}."
        )
    uncertain = [m.machine for m in machines if m.few_threshold_clips]
    if uncertain:
        yield (
            "Threshold set from too few normal recordings, so that more than twice the false alarms asked for are "
            f"possible: {listed(uncertain)}. Train on more normal recordings."
        )


def _misfits(machines: Sequence[MachineResult]) -> Iterator[str]:
    misfits = [m.machine for m in machines if m.misfit]
    if misfits:
        yield (
            "What the other machines told may not suit, and make the detector worse (other normal recordings stand out "
            f"than without it): {listed(misfits)}."
        )


def _false_alarms(run: Run, machines: Sequence[MachineClips]) -> Iterator[str]:
    false_alarms, normals = pooled(machines, NORMAL)
    asked = run.summary["config"].get("false-alarm-rate")
    if not normals or not asked:
        return
    surprising = binomtest(false_alarms, normals, asked).pvalue < SURPRISE
    near = abs(false_alarms / normals - asked) <= ALIKE
    as_asked = "about what was asked for" if near else "so few recordings cannot tell it from what was asked for"
    more_or_less = "more than was asked for" if false_alarms > asked * normals else "fewer than were asked for"
    yield (
        f"The thresholds were set on normal recordings alone, to let about {of_hundred(asked)} normal recordings "
        f"raise a false alarm. On the new recordings it was {of_hundred(false_alarms / normals)}: "
        f"{more_or_less if surprising else as_asked}."
    )
    worst = max(machines, key=lambda m: m.result.false_alarm_rate or 0.0)
    if len(machines) > 1 and worst.false_alarms:
        yield f"Most false alarms: {worst.name}, {worst.false_alarms} of its {worst.count(NORMAL)} normal recordings."


def _reservations(run: Run) -> Iterator[str]:
    if note := run.summary.get("encoder_note"):
        yield f"Encoder {run.summary['encoder']}: {note}."
    for client, reason in run.summary["excluded"].items():
        yield f"Left out: client {client} ({reason})."


GLOSSARY = {
    "Anomaly score": "How far a recording lies from the machine's normal recordings. Higher is more unusual. Scores of "
    "different machines, or of different runs, are not on one scale.",
    "Threshold": "The score above which a recording raises an alarm. It is set from normal recordings alone.",
    "False-alarm rate (FAR)": "Share of normal recordings that raised an alarm.",
    "Recall": "Share of faulty recordings that raised an alarm. The others were missed.",
    "F1": "One figure for recall and the share of alarms that are right (their harmonic mean); 1 is perfect. It "
    "depends on how many faulty recordings were in the test.",
    "ROC curve": "For every possible threshold, the share of faults found against the share of false alarms. "
    "The nearer to the upper left corner, the better; the diagonal is guessing.",
    "AUC": "Area under the ROC curve: how often a random faulty recording gets a higher score than a random normal "
    "one. 1 is perfect, 0.5 is guessing. It does not depend on the threshold.",
    "pAUC": "The same for few false alarms only (up to 10 %), rescaled so that guessing is again 0.5.",
    "95 % interval (CI)": "Where the figure would lie for other recordings of the same machine, in 95 of 100 cases "
    "(Newcombe's method). With few recordings it is wide, even where all of them were ranked rightly.",
    "Client": "One site that takes part and keeps its recordings to itself.",
    "Embedding": "A recording turned into a list of numbers by a neural network.",
    "Encoder (f_c)": "The fixed network with which each client makes its embeddings.",
    "ID classifier (f_s)": "The network that learns to tell the machines apart: the server trains it from what all "
    "clients share, or the clients train it together. It sharpens what is normal for each of them.",
    "ID accuracy (ID acc.)": "Share of normal recordings that the ID classifier assigned to the right machine.",
    "Log-mel spectrogram": "A picture of a sound: time to the right, pitch upwards, louder is brighter. The pitch "
    "scale is spaced as human hearing is.",
    "Heat map": "Orange marks when and at which pitch a recording departs from the most similar normal one: how much "
    "the score falls when that patch is replaced by the normal one's.",
    "Map of embeddings": "The two directions in which the normal recordings differ most (principal components). "
    "What lies close there is similar, but much of the detail does not fit into two dimensions.",
    "Manifest": "The list of all recordings of a run with their fingerprints. Runs with the same manifest hash used "
    "the same recordings.",
}
