"""What stolen models are worth: how well a thief detects faults of a machine with what it took.

Adversary: a thief who can record the machine, and so has normal clips of its own of it. Knowledge: f_c and f_s, f_s
alone, or neither; who misses f_c uses one of the same architecture and another key. Goal: a detector. Measure: mean AUC
over machines, by the run's own scorer; what counts is the distance to the thief who took nothing and detects with its
own f_c alone. Intervals follow from those of the machines.

Source: K. Dohi and Y. Kawaguchi, section IV-C.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit, guessed, own_codec
from collab_asd.audit.measures import Finding
from collab_asd.audit.run import AuditedRun
from collab_asd.classifier.model import IdClassifier
from collab_asd.core.types import (
    ANOMALY,
    NORMAL,
    Clip,
    Encoder,
    FloatArray,
    MachineFrames,
    Partition,
    ScoreRow,
    ScoreTable,
)
from collab_asd.detection.detector import Detector
from collab_asd.detection.evaluation import evaluate
from collab_asd.detection.scorers import DetectorSettings, ScorerSettings
from collab_asd.detection.second_order import ClipSpectrum
from collab_asd.methods.embedding_sharing.algorithm import fit_detector, fit_local_detector
from collab_asd.methods.embedding_sharing.state import KEPT, ServerState
from collab_asd.wire.codecs import Codec

ATTACK = "model stealing"
MEASURE = "detection, AUC"
NOTHING = "nothing"
OWN_SCORER = ScorerSettings("mahalanobis")
UNTESTED = f"{ATTACK}: no machine has test clips of both kinds, labelled normal and faulty; run with such clips"


@dataclass(frozen=True)
class Held:
    """One machine at one client.

    Parameters
    ----------
    client : int
    frames : MachineFrames
    tested : tuple of Clip
        Its test clips.
    """

    client: int
    frames: MachineFrames
    tested: tuple[Clip, ...]


Build = Callable[[Held], Detector]


def steal(case: Case, found: Audit) -> None:
    """Measure what stolen models are worth, where f_c is one that a thief could have of its own."""
    run = case.run
    if not can_be_measured(run):
        found.missing.append(UNTESTED)
    elif run.key_bands:
        encoder, classifiers = guessed(run, 0), ServerState.load(run.results / KEPT).classifiers
        found.findings += worth(run, classifiers, encoder, own_codec(run, case.own, encoder).with_own(()))


THEFT = Attack(("embeddings", "recordings"), steal)


def can_be_measured(run: AuditedRun) -> bool:
    """Whether a machine has test clips of both kinds at one client, to measure detection on."""
    labels: defaultdict[tuple[int, str], set[int | None]] = defaultdict(set)
    for partition in run.partitions:
        for clip in partition.clips:
            if clip.split == "test":
                labels[partition.client, clip.machine].add(clip.label)
    return any(kinds >= {NORMAL, ANOMALY} for kinds in labels.values())


def worth(
    run: AuditedRun, classifiers: Mapping[int, IdClassifier], other: Encoder, other_codec: Codec
) -> Iterator[Finding]:
    """Measure what each loot reaches.

    Parameters
    ----------
    run : AuditedRun
    classifiers : mapping of int to IdClassifier
        f_s by group.
    other, other_codec
        What a thief uses who has no f_c.
    """
    settings = DetectorSettings.of(run.config)

    def by_f_s(codec: Codec) -> Build:
        return lambda held: fit_detector(classifiers[held.frames.group], held.frames, settings, codec)

    yield detection(run, "f_c and f_s", run.encoder, by_f_s(run.members_codec))
    yield detection(run, "f_s alone", other, by_f_s(other_codec))
    yield detection(run, NOTHING, other, local)


def local(held: Held) -> Detector:
    """Detect with what a thief has who took nothing: an encoder."""
    return fit_local_detector(held.frames, OWN_SCORER)


def detection(run: AuditedRun, loot: str, encoder: Encoder, build: Build, measure: str = MEASURE) -> Finding:
    """Measure how well faults of the run's machines are detected.

    Parameters
    ----------
    loot : str
        What the thief knows, in words.
    encoder : Encoder
        What the thief hears through.
    build : callable
        Makes its detector of one machine.
    """
    rows = tuple(row for held in machines_of(run, encoder) for row in _rows(held, build(held)))
    machines = [m for m in evaluate(ScoreTable(rows)).machines if m.auc is not None and m.auc_interval is not None]
    mean = float(np.mean([m.auc for m in machines]))
    halves = [(m.auc_interval[1] - m.auc_interval[0]) / 2 for m in machines if m.auc_interval]
    spread = float(np.linalg.norm(halves)) / len(halves)
    return Finding(ATTACK, loot, measure, mean, mean - spread, min(1.0, mean + spread), 0.5, len(rows))


def machines_of(run: AuditedRun, encoder: Encoder) -> Iterator[Held]:
    """Return each machine that a client has shared training clips of, under an encoder."""
    for partition in run.partitions:
        for place in sorted(set(zip(partition.groups, partition.classes, strict=True))):
            held = (i for i, clip in enumerate(partition.clips) if run.place(clip) == place)
            members = partition.in_order_of_content(held)  # as its client takes them
            train, test = ([i for i in members if partition.clips[i].split == split] for split in ("train", "test"))
            used = [i for i in train if run.trained(partition.client, i)]
            if used:  # if not, its client was excluded before it had sent anything
                parts = (used, [i for i in train if i not in used], test)
                spectra = MachineFrames(*place, *(_frames(run, partition, ClipSpectrum(), part) for part in parts))
                frames = MachineFrames(
                    *place, *(_frames(run, partition, encoder, part) for part in parts), spectra=spectra
                )
                yield Held(partition.client, frames, tuple(partition.clips[i] for i in test))


def _rows(held: Held, detector: Detector) -> Iterator[ScoreRow]:
    """Score a machine's test clips."""
    for clip, embedded in zip(held.tested, detector.embed_tests(held.frames), strict=True):
        score = detector.score(embedded)
        yield ScoreRow(held.client, clip.machine_type, clip.machine_id, clip.sha256, clip.label, score, 0.0, 0)


def _frames(run: AuditedRun, partition: Partition, encoder: Encoder, clips: Sequence[int]) -> list[FloatArray]:
    return [run.ear.cache.encode(encoder, partition.clips[i]) for i in clips]
