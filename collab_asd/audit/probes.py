"""Sensitive-information retrieval: what a client would keep to itself, read from what it shared.

Adversary: the server, or whoever reads its messages. Knowledge: what was shared, a level of `knowledge`, and sounds
that are tagged with the property in question: its own, or leaked ones. Goal: the property of each shared clip.
Measure: balanced accuracy; chance is one over the number of values. Machines that are learnt from are never those that
are attacked, so that telling machines apart is no help.

A classifier that is learnt from mixed-up tags points in a random direction, and where the property is plain to see, it
is right, or wrong, about nearly all clips. So the control is the mean over many mixings-up, with the range of these.

Source: K. Dohi and Y. Kawaguchi, section IV-C; linear probes: G. Alain and Y. Bengio, "Understanding intermediate
layers using linear classifier probes", ICLR 2017 (workshop).

Whether people speak near a machine, read from what its client shares.

Adversary: the server, or whoever reads its messages. Knowledge: what was shared, a level of `knowledge`, and sounds of
its own into which it mixes speech of its own. Goal: in which of a client's clips somebody speaks. Measure: AUC; chance
0.5. Nobody speaks in the recordings that are audited: speech-like sound (`collab_asd.data.synthetic.signals`) is mixed
into a half of the attacked ones, at so many dB above the machine over the whole clip, before they are embedded, and
into a half of the adversary's, at all levels in turn. What is attacked is what the client would have shared of these.

Source: K. Dohi and Y. Kawaguchi, section IV-C, name the attack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit, AuditConfig, guessed, own_codec
from collab_asd.audit.measures import (
    Finding,
    auc,
    auc_with_interval,
    balanced_accuracy,
    balanced_accuracy_with_interval,
    over_draws,
)
from collab_asd.audit.observations import ObservedClip, as_numbers
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.threat_models import ARCHITECTURE, KNOWS, WRONG, ThreatModel, by_band, shuffled
from collab_asd.core.progress import step
from collab_asd.core.seeding import derive
from collab_asd.core.types import Clip, Encoder, FloatArray, ScoreArray
from collab_asd.data.audio import load_waveform
from collab_asd.data.synthetic.signals import amplitude, rms, speech_like
from collab_asd.wire.codecs import Codec

ATTACK = "sensitive information"
FEWEST = 2  # clips of each value to learn from
PENALTY = 0.01  # inverse of its strength: clips are few, numbers of a clip many
DRAWS = 20
"""Mixings-up of a control."""
SPEECH_ATTACK, TAG = "speech near the machine", "speech"
LEVELS_DB = (6.0, 0.0, -6.0, -12.0)
"""Of the speech, above the machine."""
MOST_OWN, MOST_ATTACKED = 120, 40  # sounds of the adversary; clips of each client
LEAKED = (10, 100)
Victims = Mapping[float, Sequence[ObservedClip]]
Seen = Callable[[Sequence[ObservedClip]], Sequence[ObservedClip]]
Maker = Callable[[], tuple[ThreatModel, Seen]]


def untagged(folder: Path) -> str:
    """Say what is missing where nothing is known of the victims' recordings."""
    return (
        f"sensitive information: nothing is known of the recordings in {folder}, so nobody can say whether an attack "
        "is right; audit a run on synthetic machines, or add a metadata.csv"
    )


def too_few(tag: str, knowledge: str) -> str:
    """Say what is missing where `probe` gives no figure."""
    return f"sensitive information, {tag}, {knowledge}: too few tagged clips to learn from"


def probe(level: ThreatModel, tag: str) -> Finding | None:
    """Learn a property from one side and predict it on the other; None with too few clips of some value."""
    learnt_from, attacked = (
        [clip for clip in side if tag in clip.tags] for side in (level.learnt_from, level.attacked)
    )
    values = sorted({clip.tags[tag] for clip in attacked})
    seen = Counter(clip.tags[tag] for clip in learnt_from)
    if len(values) < 2 or any(seen[value] < FEWEST for value in values):
        return None
    truth = np.array([clip.tags[tag] for clip in attacked])
    points = _points(attacked)
    guesses = [model.predict(points) for model in _models(learnt_from, tag, level.control)]
    if level.control:
        found = over_draws([balanced_accuracy(truth, guess) for guess in guesses])
    else:
        found = balanced_accuracy_with_interval(truth, guesses[0])
    measure = f"accuracy, {tag} of {len(values)}"
    return Finding(ATTACK, level.name, measure, found.value, found.low, found.high, 1 / len(values), len(attacked))


def add(level: ThreatModel, found: Audit) -> None:
    """Read each tag of the attacked clips, and add what comes out to an audit, or why nothing does."""
    for tag in level.attacked[0].tags:
        finding = probe(level, tag)
        if finding is None:
            found.missing.append(too_few(tag, level.name))
        else:
            found.findings.append(finding)


def detect(
    level: ThreatModel, tag: str, value: str, attack: str, attacked: Mapping[str, Sequence[ObservedClip]]
) -> Iterator[Finding]:
    """Learn on one side which clips have one of two values of a property, and judge by AUC on others.

    Parameters
    ----------
    level : ThreatModel
        What it is learnt from.
    tag, value, attack : str
    attacked : mapping of str to sequence of ObservedClip
        Sets of clips by the name of the measure: all are judged by what was learnt once.
    """
    models = list(_models(level.learnt_from, tag, level.control))
    for measure, clips in attacked.items():
        points, have = _points(clips), np.array([clip.tags[tag] == value for clip in clips])
        scores = [_surety(model, points, value) for model in models]
        sides = [(sure[have], sure[~have]) for sure in scores]
        found = over_draws([auc(*side) for side in sides]) if level.control else auc_with_interval(*sides[0])
        yield Finding(attack, level.name, measure, found.value, found.low, found.high, 0.5, len(have))


def _models(clips: Sequence[ObservedClip], tag: str, control: bool) -> Iterator[Pipeline]:
    """Learn a property once; for a control, from tags that are mixed up in as many ways as there are draws."""
    points, tags = _points(clips), np.array([clip.tags[tag] for clip in clips])
    rng = np.random.default_rng(0)
    for labels in [rng.permutation(tags) for _ in range(DRAWS)] if control else [tags]:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000))
        yield model.fit(points, labels)


def _surety(model: Pipeline, points: FloatArray, value: str) -> ScoreArray:
    """How far each point ``[n, d]`` is on the side of one of two values -> ``[n]``."""
    return np.asarray(model.decision_function(points) * (1 if model.classes_[1] == value else -1), np.float64)


def _points(clips: Sequence[ObservedClip]) -> FloatArray:
    """Mean and deviation of each clip's rows -> ``[clips, 2 d]``, relative to the mean of its machine.

    Which clips are of one machine the adversary knows: the protocol numbers machines.
    """
    points = np.stack([np.concatenate([clip.rows.mean(axis=0), clip.rows.std(axis=0)]) for clip in clips])
    machines = np.array([clip.clip.machine for clip in clips])
    for machine in np.unique(machines):
        points[machines == machine] -= points[machines == machine].mean(axis=0)
    return points


def find_speech(case: Case, found: Audit) -> None:
    """Carry out the attack at all levels of knowledge."""
    run, scope = case.run, case.scope
    victims = _victims(run, case.sides.attacked, min(scope.per_client, MOST_ATTACKED))
    makers = list(_levels(run, case.own[: min(scope.own, MOST_OWN)], case.sides.leaks, scope))
    with step("speech, by level of knowledge", len(makers)) as advance:
        for make in makers:
            level, seen = make()
            heard = {f"AUC at {loudness:g} dB": seen(clips) for loudness, clips in victims.items()}
            found.findings += detect(level, TAG, "yes", SPEECH_ATTACK, heard)
            advance()


SPEECH = Attack(("embeddings", "recordings"), find_speech)


def _levels(
    run: AuditedRun, own: Sequence[ObservedClip], leaks: Sequence[ObservedClip], scope: AuditConfig
) -> Iterator[Maker]:
    """Levels without attacked clips, beside what the adversary makes of these."""
    known = ThreatModel(KNOWS, talked_over(run, own, run.encoder, _as_sent(run)), [])

    def guess(number: int) -> tuple[Sequence[ObservedClip], Codec]:
        codec = own_codec(run, own, guessed(run, number))
        return talked_over(run, own, guessed(run, number), codec), codec

    def architecture() -> tuple[ThreatModel, Seen]:
        bands, guesses = run.key_bands, map(guess, range(scope.keys))
        learnt = [clip for clips, codec in guesses for clip in by_band(clips, codec, bands)]
        return ThreatModel(ARCHITECTURE, learnt, []), lambda clips: by_band(clips, run.codec, bands)

    def leaked(count: int) -> Maker:
        return lambda: (
            ThreatModel(f"{count} clips leaked", talked_over(run, leaks[:count], run.encoder, _as_sent(run)), []),
            _as_shared,
        )

    yield lambda: (known, _as_shared)
    if run.key_bands:
        yield lambda: (ThreatModel(WRONG, guess(0)[0], []), _as_shared)
        yield architecture
    yield from (leaked(count) for count in LEAKED if count <= len(leaks))
    yield lambda: (shuffled(known), _as_shared)


def _as_sent(run: AuditedRun) -> Codec:
    """Return the codec, with noise of the adversary's own where clients add some."""
    return run.codec.with_own(run.defences.sender_stages(""))


def _as_shared(clips: Sequence[ObservedClip]) -> Sequence[ObservedClip]:
    return clips


def _victims(run: AuditedRun, attacked: Sequence[ObservedClip], most: int) -> Victims:
    """Take some clips of each client, and let somebody speak in every other one, once at each level."""
    chosen = [
        clip
        for client in sorted({c.client for c in attacked})
        for clip in [c for c in attacked if c.client == client][:most]
    ]
    with step("speech near the machines, by loudness", len(LEVELS_DB)) as advance:
        victims = {}
        for loudness in LEVELS_DB:
            victims[loudness] = talked_over(run, chosen, run.encoder, _as_sent(run), [loudness])
            advance()
    return victims


def talked_over(
    run: AuditedRun,
    clips: Sequence[ObservedClip],
    encoder: Encoder,
    codec: Codec,
    levels_db: Sequence[float] = LEVELS_DB,
) -> list[ObservedClip]:
    """Let somebody speak in every other clip, at levels that take turns, and embed all of them anew."""
    heard = []
    for number, clip in enumerate(clips):
        spoken = number % 2 == 1
        frames = run.ear.cache.encode(encoder, clip.clip)
        if spoken:
            frames = encoder(mixed(clip.clip, encoder.spec.sample_rate, levels_db[number // 2 % len(levels_db)]))
        rows = as_numbers(codec.storing, codec.encode(frames)[: len(frames) // run.ear.frames])
        nothing = np.zeros((len(rows), 0), np.float32)
        heard.append(replace(clip, rows=rows, spectra=nothing, tags={TAG: "yes" if spoken else "no"}))
    return heard


def mixed(clip: Clip, sample_rate: int, loudness: float) -> FloatArray:
    """Return a recording with speech so many dB above it -> ``[samples]``; each clip has a voice of its own."""
    recording = load_waveform(clip, sample_rate)
    rng = np.random.default_rng(derive(0, "speech", clip.sha256))
    speech = speech_like(len(recording), sample_rate, rng)
    return np.asarray(recording + amplitude(loudness) * rms(recording) * speech, np.float32)
