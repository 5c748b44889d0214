"""How clips were recorded: whether those of a machine were recorded alike, and in what a new recording differs.

A detector learns a difference of recorders in place of a fault. Clips of a machine are compared across splits and
labels; labels are read to refuse or to warn, never by a method.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np

from collab_asd.core.types import ANOMALY, NORMAL, Clip, ScoreArray
from collab_asd.data.problems import Problem, Severity
from collab_asd.data.statistics import Above, ClipStatistics, above

Measured: TypeAlias = Sequence[tuple[Clip, ClipStatistics]]
Groups: TypeAlias = Mapping[str, Measured]

FAULTY = "anomalous test"
GROUPS = {
    ("train", NORMAL): "train",
    ("train", None): "train",
    ("test", NORMAL): "normal test",
    ("test", ANOMALY): FAULTY,
    ("test", None): "unlabelled test",
}
ALIKE = (
    "record or convert all clips of a machine in one way, since a detector learns this in place of the fault; or allow "
    "it with --allow-mixed (allow-mixed=true)"
)
LOOK = "check the recorder, its place and its gain: a detector may learn this in place of the fault"
LOSSY = frozenset({".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac"})

LEAST_OFFSET, STANDARD_ERRORS = 0.05, 6.0  # of the waveform's standard deviation; of the offset
FAINTEST = 1e-3  # standard deviation, full scale is 1
LEAST_PADDING = 0.05  # s
SAME_LIMIT = 1.15  # ratio of two band limits
BEYOND_FULL_SCALE = 4.0  # times full scale
LEAST_SHARE = 0.25  # difference between shares of clips
SEPARATED = 0.9  # probability that a clip of one group exceeds one of another
SPREADS = 3.0  # distances between the tenth and the ninetieth of 100 clips
LEAST_DB, LEAST_DB_OF_FAULTS = 10.0, 20.0  # a fault may be louder
LEAST_CLIPPED, LEAST_CONSTANT, LEAST_LENGTH = 0.001, 0.05, 0.1  # shares
MUCH_CLIPPED, MUCH_CONSTANT, DEAD_DB = 0.01, 0.5, 30.0


def inconsistencies(measured: Measured, name: Callable[[Clip], str], allow_mixed: bool = False) -> Iterator[Problem]:
    """Compare the clips of each machine with one another.

    Parameters
    ----------
    measured : sequence of tuple of Clip and ClipStatistics
        Clips that can be used.
    name : callable
        A clip's name.
    allow_mixed : bool
        Warn of differences that no machine causes, in place of calling them errors.
    """
    machines: defaultdict[str, list[tuple[Clip, ClipStatistics]]] = defaultdict(list)
    for clip, statistics in measured:
        machines[clip.machine].append((clip, statistics))
    for machine, clips in sorted(machines.items()):
        groups = {
            group: [pair for pair in clips if GROUPS.get((pair[0].split, pair[0].label)) == group]
            for group in dict.fromkeys(GROUPS.values())
        }
        groups = {group: pairs for group, pairs in groups.items() if pairs}
        if groups:
            yield from _by_recorder(machine, groups, "warning" if allow_mixed else "error")
            yield from _in_sound(machine, groups)
        yield from _single_clips(clips, name)


def _by_recorder(machine: str, groups: Groups, severity: Severity) -> Iterator[Problem]:
    """Find differences that no machine causes."""
    everything = [statistics for pairs in groups.values() for _, statistics in pairs]
    bandwidth = _bandwidth(everything)
    kinds: dict[str, Callable[[Clip, ClipStatistics], str]] = {
        "sample rate": lambda _, statistics: f"{statistics.rate} Hz",
        "number of channels": lambda _, statistics: f"{statistics.channels}",
        "full scale": lambda _, statistics: "another unit" if statistics.peak > BEYOND_FULL_SCALE else "1.0",
        "bandwidth": lambda _, statistics: bandwidth(statistics),
        "compression": lambda clip, _: "lossy" if clip.path.suffix.lower() in LOSSY else "none",
    }
    for words, kind in kinds.items():
        found = {group: Counter(filter(None, (kind(*pair) for pair in pairs))) for group, pairs in groups.items()}
        yield from _of_kinds(machine, words, {group: counts for group, counts in found.items() if counts}, severity)
    offsets = _values(groups, lambda clip: clip.offset / deviation(clip))
    errors = [clip.offset_error / deviation(clip) for clip in everything]
    least = max(LEAST_OFFSET, STANDARD_ERRORS * float(np.median(errors)))
    yield from _of_amounts(machine, "offset (DC), standard deviations", offsets, least, severity)
    paddings = _values(groups, lambda clip: clip.padding)
    yield from _of_amounts(machine, "constant stretches at their ends, s", paddings, LEAST_PADDING, severity)


def _bandwidth(clips: Sequence[ClipStatistics]) -> Callable[[ClipStatistics], str]:
    """Return what tells a clip of limited bandwidth from one that has more; of other clips it says nothing."""
    lowest = min((clip.limit for clip in clips if clip.limit), default=0.0)
    limited = [clip for clip in clips if 0 < clip.limit <= SAME_LIMIT * lowest]
    rests = [rest for clip in limited if (rest := above(clip.spectrum, clip.rate, lowest))]
    least = Above(min(rest.power for rest in rests), min(rest.relative for rest in rests)) if rests else None

    def bandwidth(clip: ClipStatistics) -> str:
        rest = above(clip.spectrum, clip.rate, lowest) if least else None
        if rest and least and rest.is_much_more_than(least):
            return f"more than {lowest / 1000:.1f} kHz"
        return f"little above {lowest / 1000:.1f} kHz" if 0 < clip.limit <= SAME_LIMIT * lowest else ""

    return bandwidth


def deviation(clip: ClipStatistics) -> float:
    """Return the standard deviation of a clip's samples, but not less than where the last bit counts."""
    return max(float(10 ** (clip.level / 20)), FAINTEST)


def _of_kinds(machine: str, words: str, found: Mapping[str, Counter[str]], severity: Severity) -> Iterator[Problem]:
    """Report clips of several kinds; where splits and labels are mixed alike, as a warning."""
    kinds = sorted(set().union(*found.values()))
    if len(kinds) < 2:
        return
    apart = any(_differ({group: counts[kind] / counts.total() for group, counts in found.items()}) for kind in kinds)
    listed = "; ".join(
        f"{group}: " + ", ".join(f"{counts[kind]} x {kind}" for kind in kinds if counts[kind])
        for group, counts in found.items()
    )
    yield Problem(severity if apart else "warning", machine, f"its clips differ in {words} ({listed})", ALIKE)


def _of_amounts(
    machine: str, words: str, values: Mapping[str, ScoreArray], least: float, severity: Severity
) -> Iterator[Problem]:
    """Report clips of unusual amounts, or groups whose amounts do not overlap."""
    usual = values.get("train", np.concatenate(list(values.values())))
    low, centre, high = np.quantile(usual, [0.1, 0.5, 0.9])
    odd = {group: float((abs(v - centre) > max(least, SPREADS * (high - low))).mean()) for group, v in values.items()}
    apart = _differ(odd) or any(_separated(a, b, least) for a, b in combinations(values.values(), 2))
    if apart or any(odd.values()):
        listed = "; ".join(
            f"{group}: {np.median(v):.2g}" + (f", {odd[group]:.0%} of them far from it" if 0 < odd[group] < 0.5 else "")
            for group, v in values.items()
        )
        yield Problem(severity if apart else "warning", machine, f"its clips differ in {words} ({listed})", ALIKE)


def _differ(shares: Mapping[str, float]) -> bool:
    """Whether what a share of the clips of each group has tells the groups apart, or is new to the tests."""
    unseen = not shares.get("train", 1.0) and any(shares.values())
    return unseen or max(shares.values()) - min(shares.values()) > LEAST_SHARE


def _separated(a: ScoreArray, b: ScoreArray, least: float) -> bool:
    """Whether the medians of two groups differ by more than `least`, and hardly any of their clips overlap."""
    if abs(np.median(a) - np.median(b)) <= least:
        return False
    above = float(((a[:, None] > b).mean() + (a[:, None] >= b).mean()) / 2)
    return max(above, 1 - above) >= SEPARATED


def _values(groups: Groups, of: Callable[[ClipStatistics], float]) -> dict[str, ScoreArray]:
    return {group: np.array([of(statistics) for _, statistics in pairs]) for group, pairs in groups.items()}


def _in_sound(machine: str, groups: Groups) -> Iterator[Problem]:
    """Find differences that a machine may cause, and a recorder, too."""
    kinds: dict[str, tuple[Callable[[ClipStatistics], float], float, float]] = {
        "level, dB": (lambda clip: clip.level, LEAST_DB, LEAST_DB_OF_FAULTS),
        "noise floor, dB": (lambda clip: clip.noise_floor, LEAST_DB, LEAST_DB_OF_FAULTS),
        "share of clipped samples": (lambda clip: clip.clipped, LEAST_CLIPPED, LEAST_CLIPPED),
        "share of constant stretches": (lambda clip: clip.constant, LEAST_CONSTANT, LEAST_CONSTANT),
    }
    for words, (of, least, least_of_faults) in kinds.items():
        values = _values(groups, of)
        if any(
            _separated(values[a], values[b], least_of_faults if FAULTY in (a, b) else least)
            for a, b in combinations(values, 2)
        ):
            yield Problem("warning", machine, f"its clips differ in {words} ({_medians(values)})", LOOK)
    lengths = _values(groups, lambda clip: clip.seconds)
    least = LEAST_LENGTH * float(np.median(np.concatenate(list(lengths.values()))))
    if any(_separated(a, b, least) for a, b in combinations(lengths.values(), 2)):
        what = f"its clips differ in length, s ({_medians(lengths)})"
        yield Problem("warning", machine, what, "cut them alike: the score of a clip depends on its length")


def _medians(values: Mapping[str, ScoreArray]) -> str:
    return "; ".join(f"{group}: {np.median(v):.3g}" for group, v in values.items())


def _single_clips(clips: Measured, name: Callable[[Clip], str]) -> Iterator[Problem]:
    """Find clips that a recorder spoilt."""
    usual = float(np.median([statistics.level for _, statistics in clips]))
    for clip, statistics in clips:
        if statistics.clipped > MUCH_CLIPPED:
            what = f"clipped: more than {MUCH_CLIPPED:.0%} of its samples have the largest value"
            yield Problem("warning", name(clip), what, "lower the gain of the recorder")
        if statistics.constant > MUCH_CONSTANT:
            what = f"more than {MUCH_CONSTANT:.0%} of it is constant, as from a recorder that failed"
            yield Problem("warning", name(clip), what, "listen to it; record it again or remove it")
        if statistics.level < usual - DEAD_DB or statistics.imbalance > DEAD_DB:
            than = "the other channels" if statistics.imbalance > DEAD_DB else "the machine's other clips"
            what = f"{DEAD_DB:.0f} dB or more below {than}, as from a channel that is nearly dead"
            yield Problem("warning", name(clip), what, "choose another channel, or remove it")
        elif statistics.faint_channels:
            what = "other channels than the one that is used are dead or nearly so"
            yield Problem("note", name(clip), what, "check the microphones")


RecorderProfile: TypeAlias = Mapping[str, Sequence[float]]
"""Numbers of channels; band limit in Hz; sample rate in Hz and medians of the bands' power; of all else the tenth,
fiftieth and ninetieth of 100 clips, and the least difference that counts. What a detector of an earlier version lacks
is not compared."""

LEAST_OF_LENGTH = 0.6  # of the usual one; the last piece of a long recording is up to half a clip longer or shorter

AMOUNTS: dict[str, tuple[str, Callable[[ClipStatistics], float], float]] = {
    "offset": ("offset (DC), standard deviations", lambda clip: clip.offset / deviation(clip), LEAST_OFFSET),
    "padding": ("constant stretches at its ends, s", lambda clip: clip.padding, LEAST_PADDING),
    "level": ("level, dB", lambda clip: clip.level, LEAST_DB_OF_FAULTS),
    "noise-floor": ("noise floor, dB", lambda clip: clip.noise_floor, LEAST_DB_OF_FAULTS),
    "clipped": ("share of clipped samples", lambda clip: clip.clipped, MUCH_CLIPPED),
    "constant": ("share of constant stretches", lambda clip: clip.constant, LEAST_CONSTANT),
    "length": ("length, s", lambda clip: clip.seconds, 0.0),
}


def profile(clips: Sequence[ClipStatistics]) -> dict[str, list[float]]:
    """Describe how clips were recorded, at least one."""
    found = {
        "channels": sorted({float(clip.channels) for clip in clips}),
        "limit": [min(clip.limit for clip in clips)],
    }
    rate = max(clip.rate for clip in clips)
    if spectra := [clip.spectrum for clip in clips if clip.rate == rate and clip.spectrum]:
        found["spectrum"] = [float(rate), *np.median(spectra, axis=0).tolist()]
    for name, (_, of, least) in AMOUNTS.items():
        quantiles = np.quantile([of(clip) for clip in clips], [0.1, 0.5, 0.9]).tolist()
        found[name] = [*quantiles, LEAST_OF_LENGTH * quantiles[1] if name == "length" else least]
    errors = [clip.offset_error / deviation(clip) for clip in clips]
    found["offset"][3] = max(LEAST_OFFSET, STANDARD_ERRORS * float(np.median(errors)))
    return found


def differences(usual: RecorderProfile, clip: ClipStatistics) -> Iterator[tuple[str, str]]:
    """Find in what a recording differs from those of a profile: the kind, and both values in words."""
    if "channels" in usual and clip.channels not in usual["channels"]:
        yield "channels", f"{clip.channels} channels, not {', '.join(f'{count:.0f}' for count in usual['channels'])}"
    if "spectrum" in usual:
        (limit,), (rate, *spectrum) = usual["limit"], usual["spectrum"]
        theirs, its = (spectrum, rate), (clip.spectrum, clip.rate)
        if _has_more(theirs, its, clip.limit):
            yield "bandwidth", f"little above {clip.limit / 1000:.1f} kHz, where they have more"
        elif _has_more(its, theirs, limit):
            yield "bandwidth", f"more above {limit / 1000:.1f} kHz, where they have little"
    for name, (words, of, _) in AMOUNTS.items():
        if name in usual:
            low, centre, high, least = usual[name]
            if abs(of(clip) - centre) > max(least, SPREADS * (high - low)):
                yield name, f"{words}: {of(clip):.2g}, usually {centre:.2g}"


def _has_more(one: tuple[Sequence[float], float], other: tuple[Sequence[float], float], limit: float) -> bool:
    more, less = above(*one, limit), above(*other, limit)
    return bool(more and less and more.is_much_more_than(less))
