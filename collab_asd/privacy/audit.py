"""The audit: every attack at every level of knowledge that a recorded run and the adversary's own sounds allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from collab_asd.codecs import Codec
from collab_asd.config import RunConfig
from collab_asd.data.synthetic.settings import SyntheticSettings
from collab_asd.embedding_sharing.kept import KEPT, Kept
from collab_asd.encoders.random_conv import RandomConv, demo_key
from collab_asd.errors import InputError
from collab_asd.interfaces import Encoder, FloatArray
from collab_asd.paths import cache_dir
from collab_asd.privacy import knowledge, membership, probe, retrieval, theft
from collab_asd.privacy.knowledge import ARCHITECTURE, BANDS, KNOWS, LEAKS, MEMBER, WRONG, Level
from collab_asd.privacy.measures import Finding
from collab_asd.privacy.run import AuditedRun
from collab_asd.privacy.sounds import Heard, own_sounds, tags_of, through
from collab_asd.privacy.stealing import Party, parties
from collab_asd.progress import step

OTHER_KEYS = 1_000_000  # demo keys from here on are the adversary's own
OTHER_MACHINES = SyntheticSettings(machines=18, seed=1000, train=14, test_normal=0, test_anomaly=0)
TRUTH = "truth"


@dataclass(frozen=True)
class Scope:
    """How much is looked at: the adversary's own sounds, clips of each client, keys that the adversary tries."""

    own: int
    per_client: int
    keys: int


FULL, QUICK = Scope(own=240, per_client=100, keys=3), Scope(own=80, per_client=25, keys=1)


@dataclass
class Audit:
    """What came out.

    Parameters
    ----------
    findings : list of Finding
    missing : list of str
        What could not be measured, and what it would take.
    parties : list of Party
        Who holds which model.
    pictures : dict of str to list of FloatArray
        Estimates of the first attacked clip of each client by level of knowledge, and its truth.
    """

    findings: list[Finding] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    parties: list[Party] = field(default_factory=list)
    pictures: dict[str, list[FloatArray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sides:
    """Who attacks whom: recordings of one client are leaked, the others' are attacked."""

    own: Sequence[Heard]
    leaks: Sequence[Heard]
    attacked: Sequence[Heard]
    unseen: Sequence[Heard]


def synthetic_sounds(config: RunConfig) -> Path:
    """Make sounds for an adversary that has none: tagged synthetic machines of all types, other ones than a run's."""
    from collab_asd.data.synthetic.dataset import ensure_dataset  # here, because it takes a second to import

    return ensure_dataset(OTHER_MACHINES, cache_dir(config.cache_dir))


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
    found.pictures[TRUTH] = _pictured([clip.spectra for clip in sides.attacked], sides.attacked)
    levels = _levels(run, sides, scope, found)
    with step("attacks", len(levels)) as advance:
        for make in levels:
            _attack(make(), sides, found)
            advance()
    _membership(run, sides, found)
    if run.config.encoder in BANDS:
        encoder = RandomConv(demo_key(OTHER_KEYS))
        classifiers = Kept.load(run.results / KEPT).classifiers
        found.findings += theft.worth(run, classifiers, encoder, _own_codec(run, sides, encoder).with_own(()))
    return found


def _sides(run: AuditedRun, data: Path, scope: Scope, found: Audit) -> Sides:
    clips, ear = own_sounds(data, run.hashes, scope.own), run.ear
    tags = tags_of(data, clips)
    with step("the adversary's own sounds", len(clips)) as advance:
        own = []
        for clip in clips:
            own.append(ear.own(clip, run.encoder, run.codec.with_own(run.defences.leaving("")), tags[clip]))
            advance()
    clients = run.trained_on(max(scope.per_client, LEAKS[-1]))
    leaking, *others = clients
    attacked = [clip for client in others for clip in clients[client][: scope.per_client]]
    if not attacked:
        raise InputError(f"{run.results}: one client alone has sent embeddings, and the audit needs two")
    unseen = run.not_trained_on(set(others))
    if not attacked[0].tags:
        found.missing.append(
            f"sensitive information: nothing is known of the recordings in {run.folder}, so nobody can say whether an "
            "attack is right; audit a run on synthetic machines, or add a metadata.csv"
        )
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

    def guessed(number: int) -> tuple[Encoder, Codec]:
        encoder = RandomConv(demo_key(OTHER_KEYS + number))
        return encoder, _own_codec(run, sides, encoder)

    def wrong() -> Level:
        return Level(WRONG, through(sides.own, ear, *guessed(0)), sides.attacked)

    def architecture() -> Level:
        own = [
            clip
            for key in range(scope.keys)
            for encoder, codec in [guessed(key)]
            for clip in knowledge.by_band(through(sides.own, ear, encoder, codec), codec, bands)
        ]
        return Level(ARCHITECTURE, own, knowledge.by_band(sides.attacked, run.codec, bands))

    def aligned(count: int) -> Level:
        own, twins = (through(clips, ear, *guessed(0)) for clips in (sides.own, sides.leaks[:count]))
        return knowledge.aligned(count, sides.leaks, twins, own, sides.attacked)

    yield from (wrong, architecture)
    for count in counts:
        yield lambda count=count: aligned(count)  # type: ignore[misc]


def _without_rotation(run: AuditedRun, sides: Sides, counts: Sequence[int]) -> Iterator[Callable[[], Level]]:
    """Levels of an adversary that knows f_c, and not the rotation."""

    def aligned(count: int) -> Level:
        level = knowledge.aligned(count, sides.leaks, through(sides.leaks[:count], *known), own, sides.attacked)
        return replace(level, name=f"f_c, {level.name}")

    codec = _own_codec(run, sides, run.encoder)
    known = run.ear, run.encoder, codec
    own = through(sides.own, *known)
    yield lambda: knowledge.by_length(own, codec, sides.attacked, run.codec)
    yield lambda: knowledge.by_axes(own, sides.attacked)
    for count in counts:
        yield lambda count=count: aligned(count)  # type: ignore[misc]


def _own_codec(run: AuditedRun, sides: Sides, encoder: Encoder) -> Codec:
    """Fit the run's kind of codec to the adversary's own sounds under an encoder of its own, or without rotation."""
    codec = run.imitated(run.codec)
    if not codec.learns:
        return codec
    frames = (run.ear.cache.encode(encoder, clip.clip) for clip in sides.own)
    return codec.fit([codec.statistics(frames)])


def _attack(level: Level, sides: Sides, found: Audit) -> None:
    """Carry out all attacks that learn from pairs."""
    estimates = retrieval.reconstruct(level)
    found.findings += retrieval.judge(level, estimates)
    found.pictures[level.name] = _pictured(estimates, level.attacked)
    if len(sides.unseen) >= membership.FEWEST:
        found.findings.append(membership.by_reconstruction(level.name, estimates, level.attacked, sides.unseen))
    for tag in sides.attacked[0].tags:
        finding = probe.probe(level, tag)
        if finding is None:
            found.missing.append(f"sensitive information, {tag}, {level.name}: too few tagged clips to learn from")
        else:
            found.findings.append(finding)


def _pictured(estimates: Sequence[FloatArray], attacked: Sequence[Heard]) -> list[FloatArray]:
    clients = [clip.client for clip in attacked]
    return [retrieval.as_spectra(estimates[clients.index(client)]) for client in sorted(set(clients))]


def _membership(run: AuditedRun, sides: Sides, found: Audit) -> None:
    """Ask who was trained on, of embeddings and, where clients hold it, of f_s."""
    if len(sides.unseen) < membership.FEWEST:
        found.missing.append(
            f"membership inference: {len(sides.unseen)} normal recordings that f_s was not trained on, and "
            f"{membership.FEWEST} are needed; run with more clips, or a larger calibration"
        )
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
