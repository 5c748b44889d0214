"""What the answers of Algorithm 2 tell: scores in the space of f_s, and the class that f_s gives to a clip.

The server answers whatever embeddings a client sends as those of its test clips. Its answers are computed here from the
f_s that it has kept.

**Membership inference.** Adversary: one who can have recordings scored as a client's own, and holds the recording in
question. Goal: whether it is among the client's normal clips. Measure: AUC, chance 0.5. *Its score*: members are the
clips that f_s was trained on, the others the client's normal test clips; k-NN finds a member itself among its normals,
at a distance of 0. *Its score, without itself among the normals*: what is left for f_s to give away, beside the clips
that f_s was not trained on (calibration). Source: R. Shokri et al., IEEE S&P 2017.

**Distillation of f_s.** Adversary: a client, which has f_c and is never sent f_s. Knowledge: its own normal clips, and
the classes that the server answers for a number of other recordings. Goal: an f_s of its own, which it trains, much as
preset fast does, to tell its own machine and the answered classes apart. Measures: how often it gives the run's test
clips the class that f_s gives them (chance: one over the number of classes); mean AUC over clients of detecting the
faults of their own machines by the run's scorer. What counts is the distance to f_s itself, to f_c alone, and to the
same recordings without a question: as *one* other class they are outliers to learn from, too. Source: F. Tramèr et al.,
"Stealing machine learning models via prediction APIs", USENIX Security 2016; agreement: M. Jagielski et al., "High
accuracy and high fidelity extraction of neural networks", USENIX Security 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from collab_asd.audit import membership, model_extraction
from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit
from collab_asd.audit.measures import Finding, rate_with_interval
from collab_asd.audit.observations import ObservedClip
from collab_asd.audit.run import AuditedRun
from collab_asd.classifier.model import IdClassifier
from collab_asd.classifier.settings import PRESETS
from collab_asd.classifier.training import train
from collab_asd.core.progress import step
from collab_asd.core.runtime import resolve_device
from collab_asd.core.seeding import derive
from collab_asd.core.types import NORMAL, FloatArray, MachineFrames, ScoreArray
from collab_asd.detection.detector import Detector, Space
from collab_asd.detection.scorers import ClipScorer, DetectorSettings
from collab_asd.methods.embedding_sharing.algorithm import fit_detector
from collab_asd.methods.embedding_sharing.state import KEPT, ServerState

QUERIES = (10, 30, 100, 300, 1000)
AGREEMENT = "agreement with f_s"
UNASKED = -1
COMPARED = 30  # test clips of each machine that f_s and its copies are compared on
TRAINING = replace(PRESETS["fast"], windows_per_class=300)


def attack_answers(case: Case, found: Audit) -> None:
    """Carry out both attacks on a run of Algorithm 2, by the f_s that the server has kept."""
    if case.run.config.inference == "server":
        found.findings += attacks(case.run, ServerState.load(case.run.results / KEPT).classifiers, case.own)


ANSWERS = Attack(("embeddings", "recordings"), attack_answers)


def attacks(run: AuditedRun, classifiers: Mapping[int, IdClassifier], own: Sequence[ObservedClip]) -> Iterator[Finding]:
    """Carry out both attacks.

    Parameters
    ----------
    run : AuditedRun
        Of Algorithm 2.
    classifiers : mapping of int to IdClassifier
        f_s by group, which the server keeps.
    own : sequence of ObservedClip
        Recordings that the adversary asks about.
    """
    yield from _membership(run, classifiers)
    if model_extraction.can_be_measured(run):
        yield from _distillation(run, classifiers, own)


def _membership(run: AuditedRun, classifiers: Mapping[int, IdClassifier]) -> Iterator[Finding]:
    settings = DetectorSettings.of(run.config).shared
    scored: list[ScoreArray] = []
    for held in model_extraction.machines_of(run, run.encoder):
        machine, unlabelled = held.frames, [clip.label != NORMAL for clip in held.tested]
        space = Space.fit(machine, settings, classifiers[machine.group], run.members_codec)
        members = [space.embed(f) for f in machine.normal]
        unseen = [space.embed(f) for f in machine.calibration]
        others = [space.embed(f) for f, out in zip(machine.test, unlabelled, strict=True) if not out]
        left_out = ClipScorer(settings).held_out_scores([*members, *unseen])
        scored += [-_of(space, members), -_of(space, others), *np.split(-left_out, [len(members)])]
    sides = [np.concatenate(scored[i::4]) for i in range(4)]
    for knowledge, (inside, outside) in (
        ("its score (Algorithm 2)", sides[:2]),
        ("its score, without itself among the normals", sides[2:]),
    ):
        if min(len(inside), len(outside)) >= membership.FEWEST:
            yield membership.finding(knowledge, inside, outside)


def _of(space: Space, embedded: Sequence[FloatArray]) -> ScoreArray:
    return np.array([space.score(clip) for clip in embedded])


@dataclass(frozen=True)
class Oracle:
    """Classes that the server answers for an adversary's recordings, by group.

    Parameters
    ----------
    frames : sequence of FloatArray
        Of each recording, as the server gets them.
    classes : mapping of int to sequence of int
        Of each recording.
    """

    frames: Sequence[FloatArray]
    classes: Mapping[int, Sequence[int]]

    @classmethod
    def ask(cls, run: AuditedRun, classifiers: Mapping[int, IdClassifier], own: Sequence[ObservedClip]) -> Oracle:
        """Have all of the adversary's recordings classified."""
        frames = [run.members_codec.round_trip(run.ear.cache.encode(run.encoder, clip.clip)) for clip in own]
        return cls(frames, {g: [f_s.predict(f_s.embed(f)) for f in frames] for g, f_s in classifiers.items()})

    def unasked(self) -> Oracle:
        """Take all recordings for one class that no machine has."""
        return replace(self, classes={group: [UNASKED] * len(self.frames) for group in self.classes})


def _distillation(
    run: AuditedRun, classifiers: Mapping[int, IdClassifier], own: Sequence[ObservedClip]
) -> Iterator[Finding]:
    oracle, everything = Oracle.ask(run, classifiers, own), len(own)
    counts = [*(count for count in QUERIES if count < everything), everything]
    thieves = {f"f_c, and f_s distilled by {count} queries": Thief(run, oracle, count) for count in counts}
    thieves[f"f_c and {everything} recordings, no query (control)"] = Thief(run, oracle.unasked(), everything)
    settings = DetectorSettings.of(run.config)
    with step("thieves", len(thieves)) as advance:
        for name, thief in thieves.items():
            yield model_extraction.detection(run, name, run.encoder, thief.detector(settings))
            yield _agreement(run, name, thief, classifiers)
            advance()

    def by_f_s(held: model_extraction.Held) -> Detector:
        return fit_detector(classifiers[held.frames.group], held.frames, settings, run.members_codec)

    yield model_extraction.detection(run, "f_c and f_s", run.encoder, by_f_s)
    yield model_extraction.detection(run, "f_c", run.encoder, model_extraction.local)


def _agreement(run: AuditedRun, name: str, thief: Thief, classifiers: Mapping[int, IdClassifier]) -> Finding:
    """Ask each client's f_s and the true one about test clips of all machines of the client's group."""
    hits, chances, clips = [], [], 0
    machines = list(model_extraction.machines_of(run, run.encoder))
    for group, f_s in classifiers.items():
        students = [thief.student(held) for held in machines if held.frames.group == group]
        heard = [f for held in machines if held.frames.group == group for f in held.frames.test[:COMPARED]]
        clips += len(heard)
        for frames in map(run.members_codec.round_trip, heard):
            truth = f_s.predict(f_s.embed(frames))
            hits += [s is not None and s.predict(s.embed(frames)) == truth for s in students]
            chances += [1 / f_s.settings.classes] * len(students)
    rate = rate_with_interval(np.array(hits))
    return Finding(
        model_extraction.ATTACK, name, AGREEMENT, rate.value, rate.low, rate.high, float(np.mean(chances)), clips
    )


class Thief:
    """A client that trains an f_s of its own from answers.

    Parameters
    ----------
    run : AuditedRun
    oracle : Oracle
    queries : int
        How many of the answers it has.
    """

    def __init__(self, run: AuditedRun, oracle: Oracle, queries: int) -> None:
        self._run, self._oracle, self._queries = run, oracle, queries
        self._students: dict[tuple[int, int, int], IdClassifier | None] = {}

    def detector(self, settings: DetectorSettings) -> model_extraction.Build:
        """Return what builds a client's detector: f_c alone where the answers teach it nothing."""

        def build(held: model_extraction.Held) -> Detector:
            f_s = self.student(held)
            return (
                model_extraction.local(held)
                if f_s is None
                else fit_detector(f_s, held.frames, settings, self._run.members_codec)
            )

        return build

    def student(self, held: model_extraction.Held) -> IdClassifier | None:
        """Return what the owner of a machine has trained; None where all answers are its own class."""
        key = (held.client, held.frames.group, held.frames.machine_class)
        if key not in self._students:
            self._students[key] = self._taught(held.frames)
        return self._students[key]

    def _taught(self, machine: MachineFrames) -> IdClassifier | None:
        """Train on the client's own clips, whose class it knows, and on all that it has asked about."""
        codec, spec = self._run.members_codec, self._run.encoder.spec
        clips = [codec.round_trip(f) for f in machine.normal] + list(self._oracle.frames[: self._queries])
        answered = self._oracle.classes[machine.group][: self._queries]
        classes = [machine.machine_class] * len(machine.normal) + list(answered)
        if len(set(classes)) < 2:
            return None
        seed = derive(self._run.config.seed, "thief", machine.group, machine.machine_class)
        device = resolve_device(self._run.config.device)
        return train(clips, classes, TRAINING, seed, stack=spec.stack, stack_hop=spec.stack_hop, device=device)
