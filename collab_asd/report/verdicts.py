"""What a run means for a plant: per machine how well a fault would be noticed and how many false alarms to expect.

Everything here is read off the test recordings and the number of normal ones, and comes with how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from scipy.stats import binomtest

from collab_asd.config import RunConfig
from collab_asd.core.types import ANOMALY, NORMAL
from collab_asd.detection.evaluation import FEWEST_TEST_CLIPS
from collab_asd.detection.thresholds import highest_rate, is_uncertain
from collab_asd.federation.results import threshold_clips
from collab_asd.methods import METHODS
from collab_asd.report.contents import (
    MachineClips,
    Run,
    fewest,
    held_clips,
    machine_clips,
    pooled,
    training_clips,
    used_clips,
)
from collab_asd.report.tables import UNKNOWN, Sheet
from collab_asd.report.words import SURPRISE, listed, percent

State: TypeAlias = Literal["ready", "with care", "not to be relied on", "not tested"]
RECORDINGS_PER_DAY = 24.0  # one an hour
DAYS = 7
NOTICED = ((0.95, "nearly every fault"), (0.8, "most faults"), (0.5, "more than half of the faults"))
GOOD_RECALL = 0.8
NARROW, WIDE = 0.2, 0.4  # width of the 95 % intervals of the shares of faults and of normal recordings with an alarm
LOWER_RATES = (0.1, 0.05, 0.02, 0.01)
MOST_NORMALS = 5000
CHOICE = "That rate is a choice: change it with --set false-alarm-rate=RATE."


@dataclass(frozen=True)
class MachineVerdict:
    """What a run means for one machine, in words.

    Parameters
    ----------
    machine : str
        ``"type/id"``.
    state : {"ready", "with care", "not to be relied on", "not tested"}
    faults : str
        How well a fault would be noticed.
    alarms : str
        False alarms per week.
    certainty : str
        How sure both are.
    """

    machine: str
    state: State
    faults: str
    alarms: str
    certainty: str

    @property
    def css(self) -> str:
        """Name of the state in the style sheet."""
        return self.state.replace(" ", "-")


@dataclass(frozen=True)
class Recommendation:
    """Something to do next, why, and for which machines."""

    title: str
    words: str


def machine_verdicts(run: Run, per_day: float = RECORDINGS_PER_DAY) -> list[MachineVerdict]:
    """Judge each machine of a run.

    Parameters
    ----------
    run : Run
    per_day : float
        Recordings of a machine per day that the detector is going to judge.
    """
    return [
        MachineVerdict(
            machine.name,
            _state(machine, run),
            _faults(machine),
            _alarms(machine, run, per_day),
            _certainty(machine, run),
        )
        for machine in machine_clips(run)
    ]


def headline(run: Run, verdicts: Sequence[MachineVerdict], per_day: float = RECORDINGS_PER_DAY) -> str:
    """Return the sentence that a hurried reader must not misunderstand."""
    machines = machine_clips(run)
    found, faults = pooled(machines, ANOMALY)
    alarms, normals = pooled(machines, NORMAL)
    asked = _asked(run)
    if not faults:
        tested = "There are no test recordings yet" if not run.table.rows else "No test recording is labelled as faulty"
        return (
            f"{tested}, so how well faults would be noticed is not known. The thresholds are set to let "
            f"{percent(asked)} of normal recordings raise a false alarm: "
            f"{_per_week(asked, per_day)} a week for each machine, at {per_day:g} recordings a day. {CHOICE}"
        )
    ready = sum(verdict.state == "ready" for verdict in verdicts)
    which = f"{ready} of {len(verdicts)} machines are ready for use" if len(verdicts) > 1 else _one(verdicts[0])
    alarm = (
        f"False alarms: {_per_week(alarms / normals, per_day)} a week for each machine, at {per_day:g} recordings a day"
        f"{'' if len(machines) == 1 else ' (mean)'}; {percent(asked)} of normal recordings, "
        f"{_per_week(asked, per_day)} a week, were asked for. {CHOICE}"
        if normals >= FEWEST_TEST_CLIPS
        else ""
    )
    return f"{which}. {found} of {faults} faulty test recordings raised an alarm. {alarm}".strip()


def _one(verdict: MachineVerdict) -> str:
    return {
        "ready": "The machine is ready for use",
        "with care": "The machine's alarms are to be used with care",
        "not to be relied on": "The machine's alarms are not to be relied on",
        "not tested": "The machine is not tested",
    }[verdict.state]


def recommendations(run: Run, per_day: float = RECORDINGS_PER_DAY) -> Iterator[Recommendation]:
    """Yield what to do, what matters most first."""
    machines = machine_clips(run)
    asked = _asked(run)
    if useless := [m.name for m in machines if _is_guessing(m)]:
        yield Recommendation(
            f"Do not rely on alarms of {listed(useless)}",
            "By its test recordings, its scores may be no better than guessing: the interval of its AUC reaches 0.5. "
            "Listen to the worst mistakes below: can the fault be heard, and does the microphone hear this machine "
            "rather than its neighbours?",
        )
    if misfits := [m.name for m in machines if m.result.misfit]:
        yield Recommendation(
            f"Check {listed(misfits)}",
            "Judged with what the other machines told, other normal recordings stand out than judged alone: sharing "
            "may make its detector worse. Look for recordings of another kind among the normal ones; compare --method "
            "local-spectra.",
        )
    if excess := [m.name for m in machines if _is_excess(m, asked)]:
        yield Recommendation(
            f"Record {listed(excess)} in all its normal states",
            "More normal recordings raised an alarm than was asked for, and not by chance. New loads, speeds, products "
            f"or seasons sound new: record them, and run again.{_left_out(run)}",
        )
    yield from _for_thresholds(run, machines)
    if untested := [m.name for m in machines if min(m.count(NORMAL), m.count(ANOMALY)) < FEWEST_TEST_CLIPS]:
        yield Recommendation(
            f"Add test recordings of {listed(untested)}",
            f"With at least {FEWEST_TEST_CLIPS} normal and {FEWEST_TEST_CLIPS} faulty ones (provoked, or from the "
            "past), the next run can tell how well faults would be noticed.",
        )
    if _is_shortfall(machines, asked):
        alarms, normals = pooled(machines, NORMAL)
        yield Recommendation(
            "Ask for more false alarms, if faults are missed",
            f"{alarms} of {normals} normal test recordings raised one, clearly less than the {percent(asked)} that "
            "were asked for: the thresholds lie higher than they need to. More normal recordings bring them down, and "
            f"so does a higher --set false-alarm-rate.{_left_out(run)}",
        )
    elif (lower := _lower_rate(asked, per_day)) is not None:
        yield Recommendation(
            f"Ask for fewer false alarms, if {_per_week(asked, per_day)} a week are too many",
            f"--set false-alarm-rate={lower:g} asks for {_per_week(lower, per_day)} a week"
            f"{_price(machines, lower, per_day)}. The lower the rate, the more normal recordings it takes to keep to "
            "it.",
        )


def rates(run: Run, per_day: float, prefix: str = "") -> Sheet:
    """Tabulate what other false-alarm rates would give, from the p-values of the test recordings; no rows without."""
    machines = machine_clips(run)
    normals, faults = _p_values(machines, NORMAL), _p_values(machines, ANOMALY)
    asked = _asked(run)
    lines = [
        (
            f"{percent(rate)}{' (in use)' if rate == asked else ''}",
            _per_week(rate, per_day),
            f"{sum(p < rate for p in normals)} of {len(normals)}" if normals else UNKNOWN,
            _per_week(sum(p < rate for p in normals) / len(normals), per_day) if normals else UNKNOWN,
            f"{sum(p < rate for p in faults)} of {len(faults)}" if faults else UNKNOWN,
        )
        for rate in sorted({asked, *LOWER_RATES}, reverse=True)
    ]
    headings = (
        "rate asked for",
        "false alarms a week, asked for",
        "false alarms in the test",
        "a week, by the test",
        "faults noticed in the test",
    )
    title = f"Another false-alarm rate, all machines together, at {per_day:g} recordings a day of each"
    return Sheet(f"{prefix}rates", title, headings, tuple(lines) if normals or faults else ())


def _asked(run: Run) -> float:
    return float(run.summary["config"].get("false-alarm-rate", RunConfig.false_alarm_rate))


def _state(machine: MachineClips, run: Run) -> State:
    if not machine.count(ANOMALY):
        return "not tested"
    if _is_guessing(machine):
        return "not to be relied on"
    result = machine.result
    if machine.count(ANOMALY) >= FEWEST_TEST_CLIPS and (result.recall or 0.0) < NOTICED[-1][0]:
        return "not to be relied on"
    doubts = result.misfit or result.few_test_clips or result.few_threshold_clips or _is_excess(machine, _asked(run))
    return "ready" if (result.recall or 0.0) >= GOOD_RECALL and not doubts else "with care"


def _is_guessing(machine: MachineClips) -> bool:
    return machine.result.auc_interval is not None and machine.result.auc_interval[0] <= 0.5


def _is_excess(machine: MachineClips, asked: float) -> bool:
    """Whether more normal recordings raised an alarm than chance makes of the rate that was asked for."""
    normals = machine.count(NORMAL)
    if not normals or machine.false_alarms <= asked * normals:
        return False
    return binomtest(machine.false_alarms, normals, asked, alternative="greater").pvalue < SURPRISE


def _is_shortfall(machines: Sequence[MachineClips], asked: float) -> bool:
    """Whether fewer normal recordings raised an alarm than half of what was asked for, and not by chance."""
    alarms, normals = pooled(machines, NORMAL)
    if not normals or alarms >= asked * normals / 2:
        return False
    return binomtest(alarms, normals, asked, alternative="less").pvalue < SURPRISE


def _faults(machine: MachineClips) -> str:
    found, faults = machine.alarms(ANOMALY), machine.count(ANOMALY)
    if not faults:
        return "Whether a fault would be noticed is not known: no test recording is labelled as faulty."
    if faults < FEWEST_TEST_CLIPS:
        return (
            f"{found} of {faults} faulty test recordings raised an alarm: too few to tell how well faults would be "
            "noticed."
        )
    share = found / faults
    noticed = next((words for least, words in NOTICED if share >= least), "")
    words = f"{noticed} would be noticed" if noticed else "most faults would be missed"
    return f"{words[0].upper()}{words[1:]}: {found} of {faults} in the test raised an alarm."


def _alarms(machine: MachineClips, run: Run, per_day: float) -> str:
    normals, asked = machine.count(NORMAL), _asked(run)
    if not normals:
        count = _normals_behind(run).get(machine.name, 0)
        most = f", {_per_week(highest_rate(count, asked), per_day)} at most" if count else ""
        return f"False alarms: {_per_week(asked, per_day)} a week were asked for{most}; no test recording checks it."
    wanted = f"{_per_week(asked, per_day)} a week were asked for"
    if normals < FEWEST_TEST_CLIPS:
        return (
            f"False alarms: {wanted}; {machine.false_alarms} of {normals} normal test recordings are too few to tell."
        )
    if not machine.false_alarms:
        return f"False alarms: none on {normals} normal recordings in the test; {wanted}."
    share = machine.false_alarms / normals
    return (
        f"False alarms: {_per_week(share, per_day)} a week ({machine.false_alarms} of {normals} normal recordings in "
        f"the test); {wanted}."
    )


def _certainty(machine: MachineClips, run: Run) -> str:
    counts = {label: (machine.alarms(label), machine.count(label)) for label in (ANOMALY, NORMAL)}
    spans = {label: _interval(*count) for label, count in counts.items() if count[1]}
    parts = []
    if ANOMALY in spans:
        widest = max(high - low for low, high in spans.values())
        few = min(count for _, count in counts.values()) < FEWEST_TEST_CLIPS or widest > WIDE
        sure = "Hardly tested" if few else "Well tested" if widest <= NARROW else "Fairly well tested"
        parts.append(f"{sure}: other recordings might give {_span(*spans[ANOMALY])} of the faults.")
    if NORMAL in spans:
        parts.append(f"False alarms: {_span(*spans[NORMAL])} of normal recordings.")
    if machine.result.misfit:
        parts.append("What the other machines told may not suit it.")
    normals = _normals_behind(run).get(machine.name)
    if machine.result.few_threshold_clips and normals is not None:
        parts.append(f"The threshold rests on {normals} normal recordings, which are few.")
    return " ".join(parts)


def _interval(count: int, of: int) -> tuple[float, float]:
    interval = binomtest(count, of).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _span(low: float, high: float) -> str:
    return f"{low * 100:.0f} to {high * 100:.0f}\N{NO-BREAK SPACE}%"


def _per_week(rate: float, per_day: float) -> str:
    """Say how many a share of all recordings is in a week: ``"about 17"``, ``"less than one"``, ``"none"``."""
    count = rate * per_day * DAYS
    if count == 0:
        return "none"
    if count < 0.75:
        return "less than one"
    return f"about {count:.0f}" if count < 100 else f"about {float(f'{count:.2g}'):.0f}"


def _lower_rate(asked: float, per_day: float) -> float | None:
    """Return the highest lower rate that gives one false alarm a day or fewer; None where that is asked for already."""
    if asked * per_day <= 1:
        return None
    return next((rate for rate in LOWER_RATES if rate < asked and rate * per_day <= 1), None)


def _p_values(machines: Sequence[MachineClips], label: int) -> list[float]:
    """P-values of the test recordings of a label, where there are any."""
    return [row.p_value for m in machines for row in m.rows if row.label == label and row.p_value is not None]


def _price(machines: Sequence[MachineClips], rate: float, per_day: float) -> str:
    """Say what a lower rate gives in the test, where p-values tell: false alarms, and faults that it still notices."""
    p_values = {label: _p_values(machines, label) for label in (NORMAL, ANOMALY)}
    (_, normals), (found, faults) = (pooled(machines, label) for label in (NORMAL, ANOMALY))
    parts = []
    if normals and len(p_values[NORMAL]) == normals:
        alarms = sum(p < rate for p in p_values[NORMAL])
        week = _per_week(alarms / normals, per_day)
        parts.append(
            f"gives {alarms} false alarm{'' if alarms == 1 else 's'} on {normals} normal recordings ({week} a week)"
        )
    if faults and len(p_values[ANOMALY]) == faults:
        noticed = sum(p < rate for p in p_values[ANOMALY])
        parts.append(f"notices {noticed} of {faults} faults in place of {found}")
    return f"; in the test it {' and '.join(parts)}" if parts else ""


def _for_thresholds(run: Run, machines: Sequence[MachineClips]) -> Iterator[Recommendation]:
    """Yield how machines come to the normal recordings that their thresholds lack: from the folder, or new ones."""
    few = [machine.name for machine in machines if machine.result.few_threshold_clips]
    config = _config(run)
    if not few or config is None:
        return
    all_clips, rate = replace(config, train_clips=0), config.false_alarm_rate
    enough = next((n for n in range(1, MOST_NORMALS) if not is_uncertain(threshold_clips(all_clips, n), rate)), 0)
    used, held = training_clips(run), fewest(held_clips(run))
    why = f"With so few, the threshold may raise more than twice the {percent(rate)} false alarms that were asked for."
    if there := [name for name in few if used[name] < enough <= held[name]]:
        yield Recommendation(
            f"Train on more of the normal recordings of {listed(there)}",
            f"{why} --set train-clips={config.train_clips} left out recordings that are there: leave it out, or take "
            f"{enough} or more of each.",
        )
    if lacking := {name: enough - held[name] for name in few if held[name] < enough}:
        most = max(lacking.values())
        yield Recommendation(
            f"Record more normal sound of {listed(list(lacking))}",
            f"{why} {most} more normal recording{'s' if most > 1 else ''} of each, spread over days, settle it."
            f"{_left_out(run)}",
        )


def _left_out(run: Run) -> str:
    """Say how many normal recordings of the folder the key `train-clips` has left out; empty where it left none."""
    left_out = sum(held_clips(run).values()) - sum(used_clips(run).values())
    if not left_out:
        return ""
    which = "one normal recording that is" if left_out == 1 else f"{left_out} normal recordings that are"
    return f" --set train-clips={run.summary['config']['train-clips']} left out {which} there: train on more first."


def _normals_behind(run: Run) -> dict[str, int]:
    """By machine, how many normal clips its threshold was set from; of several clients, the fewest."""
    config = _config(run)
    return {} if config is None else {name: threshold_clips(config, n) for name, n in training_clips(run).items()}


def _config(run: Run) -> RunConfig | None:
    """Return what is known of the run's configuration; None of a method that is not installed here."""
    known = RunConfig().to_mapping()
    config = RunConfig.from_mapping({key: value for key, value in run.summary["config"].items() if key in known})
    return config if config.method in METHODS else None
