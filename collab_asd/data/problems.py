"""What can be wrong with a data set, beyond a single file that cannot be decoded.

Each rule yields problems. An error makes training or its evaluation wrong; a warning is worth a look; a note explains a
gap in the results to come.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collab_asd.core.types import ANOMALY, NORMAL, Clip
from collab_asd.data.duplicates import Shared
from collab_asd.data.partitions import places
from collab_asd.data.recordings import shorten

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

# The threshold leaves one normal clip out and looks for two neighbours of it among the others.
FEWEST_TRAINING_CLIPS = 3
ONLY_OF_GROUP = "the only machine of its group: outlier exposure needs two machines to tell apart"
"""The one problem that methods which share nothing do not have."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Parameters
    ----------
    severity : {"error", "warning", "note"}
    subject : str
        Name of the clip, machine (``type/id``) or machine type.
    what, remedy : str
        What is wrong, and what to do.
    path : Path or None
        The file, if the problem goes away by leaving this file out.
    detail : str
        Figures of this subject, which those with the same problem need not share.
    """

    severity: Severity
    subject: str
    what: str
    remedy: str
    path: Path | None = None
    detail: str = ""


def describe(problems: Sequence[Problem]) -> list[tuple[Severity, str]]:
    """Severity and one line of text for each kind of problem, errors first, naming up to five of its subjects."""
    alike: defaultdict[tuple[Severity, str, str], list[str]] = defaultdict(list)
    for problem in problems:
        detail = f" ({problem.detail})" if problem.detail else ""
        alike[problem.severity, problem.what, problem.remedy].append(f"{problem.subject}{detail}")
    lines = [(severity, f"{shorten(names)}: {what}; {remedy}") for (severity, what, remedy), names in alike.items()]
    return sorted(lines, key=lambda line: SEVERITIES.index(line[0]))


def machine_problems(clips: Sequence[Clip], group_by: str, shares: bool) -> list[Problem]:
    """All that is wrong with the clips of a machine, or with the machines of a group, taken together.

    Parameters
    ----------
    clips : sequence of Clip
    group_by : {"machine-type", "all"}
    shares : bool
        Whether the method trains an ID classifier over several machines; one that does not needs no second machine.
    """
    held: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        held[clip.machine].append(clip)
    problems = [problem for name in sorted(held) for problem in _machine(name, held[name])]
    return problems + (list(_lonely_machines(clips, group_by)) if shares else [])


def mislabelled(clips: Sequence[Clip], name: Callable[[Clip], str]) -> Iterator[Problem]:
    """Training clips that are labelled as anomalies."""
    for clip in clips:
        if clip.split == "train" and clip.label == ANOMALY:
            what, remedy = "an anomaly among the training clips", "move it to the test clips: training clips are normal"
            yield Problem("error", name(clip), what, remedy, clip.path)


def repeated(audio: Sequence[tuple[Clip, str]], name: Callable[[Clip], str]) -> Iterator[Problem]:
    """Find the same audio twice; each clip comes with a fingerprint of its samples.

    Across training and test it would leak: the training copy is at fault, since leaving that out keeps the test set as
    it is. Within a split it merely counts twice, unless the copies contradict one another in their labels. Under two
    machines one copy is wrong, and which is not known.
    """
    copies: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip, fingerprint in audio:
        copies[fingerprint].append(clip)
    for same in copies.values():
        if len(same) > 1:
            yield from _copies(same, name)


def nearly_repeated(pairs: Sequence[Shared], name: Callable[[Clip], str]) -> Iterator[Problem]:
    """Judge clips that share sound as `repeated` does those that are the same."""
    for a, b, _ in pairs:
        for clip, other in ((a, b), (b, a)):
            subject = f"{name(clip)} (as {name(other)})"
            if clip.machine != other.machine:
                what = "it shares sound with a clip of another machine"
                yield Problem("error", subject, what, "keep it under the machine that it is of", clip.path)
            elif clip.split != other.split:
                what = "it shares sound with a test clip: the test would be no test"
                if clip.split == "train":
                    yield Problem("error", subject, what, "remove one of the two", clip.path)
            elif {clip.label, other.label} == {NORMAL, ANOMALY}:
                what = "it shares sound with a clip of the other label"
                yield Problem("error", subject, what, "remove the one whose label is wrong", clip.path)


def too_few_distinct(audio: Sequence[tuple[Clip, str]], pairs: Sequence[Shared] = ()) -> Iterator[Problem]:
    """Find machines whose training clips are copies of one or two: what is normal cannot be learnt from them.

    Parameters
    ----------
    audio : sequence of tuple of Clip and str
        Clips with a fingerprint of their samples.
    pairs : sequence of Shared
        Clips that are nearly the same.
    """
    first = dict(audio)
    for a, b, _ in pairs:
        if (a.split, a.machine) == (b.split, b.machine) and a in first and b in first:
            kept, gone = first[a], first[b]
            first = {clip: kept if fingerprint == gone else fingerprint for clip, fingerprint in first.items()}
    held: defaultdict[str, list[str]] = defaultdict(list)
    for clip, fingerprint in first.items():
        if clip.split == "train" and clip.label != ANOMALY:
            held[clip.machine].append(fingerprint)
    for machine, fingerprints in sorted(held.items()):
        distinct = len(set(fingerprints))
        if distinct < FEWEST_TRAINING_CLIPS <= len(fingerprints):
            what = f"only {distinct} distinct recording{'s' * (distinct > 1)} among {len(fingerprints)} training clips"
            yield Problem("error", machine, what, f"needs at least {FEWEST_TRAINING_CLIPS} that differ")


def _copies(same: Sequence[Clip], name: Callable[[Clip], str]) -> Iterator[Problem]:
    if len(machines := {clip.machine for clip in same}) > 1:
        for clip in same:
            what = f"the same audio under several machines ({shorten(sorted(machines))})"
            yield Problem("error", name(clip), what, "keep it under the machine that it is of", clip.path)
        return
    train = [clip for clip in same if clip.split == "train"]
    test = [clip for clip in same if clip.split == "test"]
    if {clip.label for clip in test} >= {NORMAL, ANOMALY}:
        for clip in test:
            what = f"the same audio is labelled normal and anomaly ({shorten([name(clip) for clip in test])})"
            yield Problem("error", name(clip), what, "remove the one whose label is wrong", clip.path)
    if train and test:
        for clip in train:
            what = f"the same audio as test clip {name(test[0])}: the test would be no test"
            yield Problem("error", name(clip), what, "remove one of the two", clip.path)
    for first, *others in filter(None, (train, test)):
        for clip in others:
            what = f"the same audio as {first.split} clip {name(first)}"
            yield Problem("warning", name(clip), what, "remove one of the two unless it is to count twice")


def _machine(machine: str, clips: Sequence[Clip]) -> Iterator[Problem]:
    count = Counter((clip.split, clip.label) for clip in clips)
    tests = sum(clip.split == "test" for clip in clips)
    yield from _training(machine, len(clips) - tests, len(clips) - tests - count["train", ANOMALY])
    if not tests:
        what = "no test clips: it will be trained on but not scored"
        yield Problem("warning", machine, what, "add test clips, or score new recordings with its detector later")
    elif not count["test", ANOMALY]:
        yield Problem("note", machine, "no labelled anomalies: its AUC will be null", "its decisions still count")
    elif not count["test", NORMAL]:
        yield Problem(
            "note", machine, "no labelled normal test clips: its AUC will be null", "its decisions still count"
        )


def _training(machine: str, clips: int, normals: int) -> Iterator[Problem]:
    """Count a training clip without a label as normal: training clips are normal."""
    need = f"needs at least {FEWEST_TRAINING_CLIPS} training clips of normal sound"
    if not clips:
        yield Problem("error", machine, "nothing to train on: it has test clips but no training clips", need)
    elif not normals:
        yield Problem("error", machine, "nothing to train on: no normal training clips", need)
    elif normals < FEWEST_TRAINING_CLIPS:
        yield Problem(
            "error",
            machine,
            f"nothing to train on: too few normal training clips ({normals})",
            f"{need}; clip-seconds cuts long recordings into clips",
        )


def _lonely_machines(clips: Sequence[Clip], group_by: str) -> Iterator[Problem]:
    """Find groups of one machine: an ID classifier with a single class has zero loss, and learns nothing."""
    where = places(clips, group_by)
    size = Counter(place.group for place in where.values())
    for (machine_type, machine_id), place in where.items():
        if size[place.group] == 1:
            yield Problem("error", f"{machine_type}/{machine_id}", ONLY_OF_GROUP, _company(len(where), group_by))


def _company(machines: int, group_by: str) -> str:
    """Return what to do about a machine that is the only one of its group."""
    others = "leave this one out, " if machines > 1 else ""
    wider = "group by 'all' (--set group-by=all), " if machines > 1 and group_by != "all" else ""
    return (
        f"add another machine to it, {others}{wider}or choose a method that shares nothing (collab-asd run --method "
        "local-mahalanobis; for flwr run: method='local-mahalanobis'); in a deployment others have such machines "
        "(collab-asd deploy check)"
    )
