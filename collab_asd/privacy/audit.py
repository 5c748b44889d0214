"""The audit: every attack at every level of knowledge that a recorded run and the adversary's own sounds allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collab_asd.codecs import Codec
from collab_asd.data.audio import load_waveform
from collab_asd.embedding_sharing.kept import KEPT, ServerState
from collab_asd.errors import InputError
from collab_asd.interfaces import Encoder, FloatArray
from collab_asd.privacy import answers, knowledge, mean_spectrum, membership, probe, retrieval, speech, theft
from collab_asd.privacy.adversary import guessed, hear, own_codec
from collab_asd.privacy.knowledge import ARCHITECTURE, BANDS, KNOWS, LEAKS, MEMBER, WRONG, Level
from collab_asd.privacy.outcome import TRUTH, Audit, Scope
from collab_asd.privacy.run import AuditedRun
from collab_asd.privacy.sounds import Heard, through
from collab_asd.privacy.spectra import SAMPLE_RATE
from collab_asd.privacy.stealing import parties
from collab_asd.progress import step


@dataclass(frozen=True)
class Sides:
    """Who attacks whom: recordings of one client are leaked, the others' are attacked."""

    own: Sequence[Heard]
    leaks: Sequence[Heard]
    attacked: Sequence[Heard]
    unseen: Sequence[Heard]


def audit(run: AuditedRun, data: Path, scope: Scope) -> Audit:
    """Attack a run.

    Parameters
    ----------
    run : AuditedRun
    data : Path
        Folder of the adversary's own sounds.
    scope : Scope

    Raises
    ------
    InputError
        The adversary has too few sounds of its own.
    """
    found = Audit(parties=parties(run))
    sides = _sides(run, data, scope, found)
    _picture(run, sides.attacked, found)
    levels = _levels(run, sides, scope, found)
    with step("attacks", len(levels)) as advance:
        for make in levels:
            _attack(make(), sides, found)
            advance()
    found.findings += speech.attacks(run, sides.own, sides.leaks, sides.attacked, scope)
    _membership(run, sides, found)
    mean_spectrum.add(run, sides.own, scope, found)
    classifiers = ServerState.load(run.results / KEPT).classifiers
    if run.config.inference == "server":
        found.findings += answers.attacks(run, classifiers, sides.own)
    if not theft.can_be_measured(run):
        found.missing.append(theft.UNTESTED)
    elif run.config.encoder in BANDS:
        encoder = guessed(0)
        found.findings += theft.worth(run, classifiers, encoder, own_codec(run, sides.own, encoder).with_own(()))
    return found


def _sides(run: AuditedRun, data: Path, scope: Scope, found: Audit) -> Sides:
    own = hear(run, data, scope)
    clients = run.trained_on(max(scope.per_client, LEAKS[-1]))
    leaking, *others = clients
    attacked = [clip for client in others for clip in clients[client][: scope.per_client]]
    if not attacked:
        raise InputError(f"{run.results}: one client alone has sent embeddings, and the audit needs two")
    unseen = run.not_trained_on(set(others))
    if not attacked[0].tags:
        found.missing.append(probe.untagged(run.folder))
    return Sides(own, clients[leaking], attacked, unseen)


def _levels(run: AuditedRun, sides: Sides, scope: Scope, found: Audit) -> list[Callable[[], Level]]:
    """List the levels of knowledge; each is made when its turn comes."""
    known = Level(KNOWS if run.defences.rotation is None else MEMBER, sides.own, sides.attacked)
    counts = [count for count in LEAKS if count <= len(sides.leaks)]
    if len(counts) < len(LEAKS):
        found.missing.append(f"{LEAKS[len(counts)]} clips leaked: the leaking client has {len(sides.leaks)}")
    levels: list[Callable[[], Level]] = [lambda: known]
    if run.defences.rotation is not None:
        levels += _without_rotation(run, sides, counts)
    if run.config.encoder in BANDS:
        levels += _keyless(run, sides, scope, counts)
    else:
        found.missing.append(
            f"levels that do not know f_c: {run.config.encoder} is public, and its digest, which each client tells the "
            "server, names it"
        )
    for count in counts:
        levels.append(lambda count=count: knowledge.leaked(count, sides.leaks, sides.attacked))  # type: ignore[misc]
    return [*levels, lambda: knowledge.shuffled(known)]


def _keyless(run: AuditedRun, sides: Sides, scope: Scope, counts: Sequence[int]) -> Iterator[Callable[[], Level]]:
    """Levels of an adversary that knows how f_c is built, and not its key."""
    ear, bands = run.ear, BANDS[run.config.encoder]

    def guess(number: int) -> tuple[Encoder, Codec]:
        return guessed(number), own_codec(run, sides.own, guessed(number))

    def wrong() -> Level:
        return Level(WRONG, through(sides.own, ear, *guess(0)), sides.attacked)

    def architecture() -> Level:
        own = [
            clip
            for key in range(scope.keys)
            for encoder, codec in [guess(key)]
            for clip in knowledge.by_band(through(sides.own, ear, encoder, codec), codec, bands)
        ]
        return Level(ARCHITECTURE, own, knowledge.by_band(sides.attacked, run.codec, bands))

    def aligned(count: int) -> Level:
        own, twins = (through(clips, ear, *guess(0)) for clips in (sides.own, sides.leaks[:count]))
        return knowledge.aligned(count, sides.leaks, twins, own, sides.attacked)

    yield from (wrong, lambda: knowledge.other_encoder(sides.own, sides.attacked), architecture)
    for count in counts:
        yield lambda count=count: aligned(count)  # type: ignore[misc]


def _without_rotation(run: AuditedRun, sides: Sides, counts: Sequence[int]) -> Iterator[Callable[[], Level]]:
    """Levels of an adversary that knows f_c, and not the rotation."""

    def aligned(count: int) -> Level:
        level = knowledge.aligned(count, sides.leaks, through(sides.leaks[:count], *known), own, sides.attacked)
        return replace(level, name=f"f_c, {level.name}")

    codec = own_codec(run, sides.own, run.encoder)
    known = run.ear, run.encoder, codec
    own = through(sides.own, *known)
    yield lambda: knowledge.by_length(own, codec, sides.attacked, run.codec)
    yield lambda: knowledge.by_axes(own, sides.attacked)
    for count in counts:
        yield lambda count=count: aligned(count)  # type: ignore[misc]


def _attack(level: Level, sides: Sides, found: Audit) -> None:
    """Carry out all attacks that learn from pairs."""
    estimates = retrieval.reconstruct(level)
    found.findings += retrieval.judge(level, estimates)
    found.pictures[level.name] = _pictured(estimates, level.attacked)
    if len(sides.unseen) >= membership.FEWEST:
        found.findings.append(membership.by_reconstruction(level.name, estimates, level.attacked, sides.unseen))
    probe.add(level, found)


def _picture(run: AuditedRun, attacked: Sequence[Heard], found: Audit) -> None:
    """Keep the truth of what is pictured, to look at and to listen to."""
    found.pictures[TRUTH], found.hop = _pictured([clip.spectra for clip in attacked], attacked), run.ear.timing.hop
    first = run.ear.timing.first
    for clip in {clip.client: clip for clip in reversed(attacked)}.values():
        end = first + len(retrieval.as_spectra(clip.spectra)) * found.hop
        found.recordings[clip.client] = load_waveform(clip.clip, SAMPLE_RATE)[first:end]


def _pictured(estimates: Sequence[FloatArray], attacked: Sequence[Heard]) -> list[FloatArray]:
    clients = [clip.client for clip in attacked]
    return [retrieval.as_spectra(estimates[clients.index(client)]) for client in sorted(set(clients))]


def _membership(run: AuditedRun, sides: Sides, found: Audit) -> None:
    """Ask who was trained on, of embeddings and, where clients hold it, of f_s."""
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


def _as_f_s_hears(run: AuditedRun, clips: Sequence[Heard]) -> list[tuple[int, int, FloatArray]]:
    cache = run.ear.cache
    frames = (run.members_codec.round_trip(cache.encode(run.encoder, clip.clip)) for clip in clips)
    return [(*run.place(clip.clip), f) for clip, f in zip(clips, frames, strict=True)]
