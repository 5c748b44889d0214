"""The attacks on embeddings at every level of knowledge that a recorded run and the adversary's own sounds allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from collab_asd.audit import inversion as retrieval
from collab_asd.audit import membership
from collab_asd.audit import probes as probe
from collab_asd.audit import threat_models as knowledge
from collab_asd.audit.attacks import Attack, Case, Sides
from collab_asd.audit.findings import TRUTH, Audit, guessed, own_codec
from collab_asd.audit.observations import ObservedClip, through
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.spectra import SAMPLE_RATE
from collab_asd.audit.threat_models import ARCHITECTURE, KNOWS, LEAKS, MEMBER, WRONG, ThreatModel
from collab_asd.core.progress import step
from collab_asd.core.types import Encoder, FloatArray
from collab_asd.data.audio import load_waveform
from collab_asd.wire.codecs import Codec


def reconstruct(case: Case, found: Audit) -> None:
    """Carry out all attacks that learn from pairs: get recordings, tags and members back from what was shared."""
    if not case.sides.attacked[0].tags:
        found.missing.append(probe.untagged(case.run.folder))
    _picture(case.run, case.sides.attacked, found)
    levels = _levels(case, found)
    with step("attacks", len(levels)) as advance:
        for make in levels:
            _attack(make(), case.sides, found)
            advance()


RECONSTRUCTION = Attack(("embeddings", "recordings"), reconstruct)


def _levels(case: Case, found: Audit) -> list[Callable[[], ThreatModel]]:
    """List the levels of knowledge; each is made when its turn comes."""
    run, sides = case.run, case.sides
    known = ThreatModel(KNOWS if run.defences.rotation is None else MEMBER, case.own, sides.attacked)
    counts = [count for count in LEAKS if count <= len(sides.leaks)]
    if len(counts) < len(LEAKS):
        found.missing.append(f"{LEAKS[len(counts)]} clips leaked: the leaking client has {len(sides.leaks)}")
    levels: list[Callable[[], ThreatModel]] = [lambda: known]
    if run.defences.rotation is not None:
        levels += _without_rotation(case, counts)
    if run.key_bands:
        levels += _keyless(case, counts)
    else:
        found.missing.append(
            f"levels that do not know f_c: {run.config.encoder} is public, and its digest, which each client tells the "
            "server, names it"
        )
    for count in counts:
        levels.append(lambda count=count: knowledge.leaked(count, sides.leaks, sides.attacked))  # type: ignore[misc]
    return [*levels, lambda: knowledge.shuffled(known)]


def _keyless(case: Case, counts: Sequence[int]) -> Iterator[Callable[[], ThreatModel]]:
    """Levels of an adversary that knows how f_c is built, and not its key."""
    run, own, sides = case.run, case.own, case.sides
    ear, bands = run.ear, run.key_bands

    def guess(number: int) -> tuple[Encoder, Codec]:
        return guessed(run, number), own_codec(run, own, guessed(run, number))

    def wrong() -> ThreatModel:
        return ThreatModel(WRONG, through(own, ear, *guess(0)), sides.attacked)

    def architecture() -> ThreatModel:
        learnt = [
            clip
            for key in range(case.scope.keys)
            for encoder, codec in [guess(key)]
            for clip in knowledge.by_band(through(own, ear, encoder, codec), codec, bands)
        ]
        return ThreatModel(ARCHITECTURE, learnt, knowledge.by_band(sides.attacked, run.codec, bands))

    def aligned(count: int) -> ThreatModel:
        learnt, twins = (through(clips, ear, *guess(0)) for clips in (own, sides.leaks[:count]))
        return knowledge.aligned(count, sides.leaks, twins, learnt, sides.attacked)

    yield from (wrong, lambda: knowledge.other_encoder(own, sides.attacked), architecture)
    for count in counts:
        yield lambda count=count: aligned(count)  # type: ignore[misc]


def _without_rotation(case: Case, counts: Sequence[int]) -> Iterator[Callable[[], ThreatModel]]:
    """Levels of an adversary that knows f_c, and not the rotation."""
    run, sides = case.run, case.sides

    def aligned(count: int) -> ThreatModel:
        level = knowledge.aligned(count, sides.leaks, through(sides.leaks[:count], *known), own, sides.attacked)
        return replace(level, name=f"f_c, {level.name}")

    codec = own_codec(run, case.own, run.encoder)
    known = run.ear, run.encoder, codec
    own = through(case.own, *known)
    yield lambda: knowledge.by_length(own, codec, sides.attacked, run.codec)
    yield lambda: knowledge.by_axes(own, sides.attacked)
    yield lambda: knowledge.by_closest_points(own, codec, sides.attacked, run.codec)
    for count in counts:
        yield lambda count=count: aligned(count)  # type: ignore[misc]


def _attack(level: ThreatModel, sides: Sides, found: Audit) -> None:
    """Carry out all attacks that learn from pairs."""
    estimates = retrieval.reconstruct(level)
    found.findings += retrieval.judge(level, estimates)
    found.pictures[level.name] = _pictured(estimates, level.attacked)
    if len(sides.unseen) >= membership.FEWEST:
        found.findings.append(membership.by_reconstruction(level.name, estimates, level.attacked, sides.unseen))
    probe.add(level, found)


def _picture(run: AuditedRun, attacked: Sequence[ObservedClip], found: Audit) -> None:
    """Keep the truth of what is pictured, to look at and to listen to."""
    found.pictures[TRUTH], found.hop = _pictured([clip.spectra for clip in attacked], attacked), run.ear.timing.hop
    first = run.ear.timing.first
    for clip in {clip.client: clip for clip in reversed(attacked)}.values():
        end = first + len(retrieval.as_spectra(clip.spectra)) * found.hop
        found.recordings[clip.client] = load_waveform(clip.clip, SAMPLE_RATE)[first:end]


def _pictured(estimates: Sequence[FloatArray], attacked: Sequence[ObservedClip]) -> list[FloatArray]:
    clients = [clip.client for clip in attacked]
    return [retrieval.as_spectra(estimates[clients.index(client)]) for client in sorted(set(clients))]


def find_members(case: Case, found: Audit) -> None:
    """Ask who was trained on, of embeddings and, where clients hold it, of f_s."""
    run, sides = case.run, case.sides
    if len(sides.unseen) < membership.FEWEST:
        found.missing.append(membership.too_few(len(sides.unseen)))
        return
    pushed = through(sides.attacked, run.ear, run.encoder, run.members_codec)
    found.findings.append(membership.by_distance(pushed, sides.unseen, sides.attacked))
    classifiers = run.view.classifiers()
    if not classifiers:
        found.missing.append("membership inference by f_s: it stayed with the server (Algorithm 2)")
        return
    heard = [_as_f_s_hears(run, clips) for clips in (sides.attacked, sides.unseen)]
    found.findings.append(membership.by_classifier(classifiers, *heard))


MEMBERSHIP = Attack(("embeddings", "recordings"), find_members)


def _as_f_s_hears(run: AuditedRun, clips: Sequence[ObservedClip]) -> list[tuple[int, int, FloatArray]]:
    cache = run.ear.cache
    frames = (run.members_codec.round_trip(cache.encode(run.encoder, clip.clip)) for clip in clips)
    return [(*run.place(clip.clip), f) for clip, f in zip(clips, frames, strict=True)]
