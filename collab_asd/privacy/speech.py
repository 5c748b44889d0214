"""Whether people speak near a machine, read from what its client shares.

Adversary: the server, or whoever reads its messages. Knowledge: what was shared, a level of `knowledge`, and sounds of
its own into which it mixes speech of its own. Goal: in which of a client's clips somebody speaks. Measure: AUC; chance
0.5. Nobody speaks in the recordings that are audited: speech-like sound (`collab_asd.data.synthetic.speech`) is mixed
into a half of the attacked ones, at so many dB above the machine over the whole clip, before they are embedded, and
into a half of the adversary's, at all levels in turn. What is attacked is what the client would have shared of these.

Source: K. Dohi and Y. Kawaguchi, section IV-C, name the attack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from collab_asd.codecs import Codec
from collab_asd.data.audio import load_waveform
from collab_asd.data.synthetic.signals import amplitude, rms
from collab_asd.data.synthetic.speech import speech_like
from collab_asd.interfaces import Clip, Encoder, FloatArray
from collab_asd.privacy import probe
from collab_asd.privacy.adversary import guessed, own_codec
from collab_asd.privacy.attacks import Attack, Case
from collab_asd.privacy.knowledge import ARCHITECTURE, KNOWS, WRONG, Level, by_band, shuffled
from collab_asd.privacy.outcome import Audit, Scope
from collab_asd.privacy.run import AuditedRun
from collab_asd.privacy.sounds import Heard, as_numbers
from collab_asd.progress import step
from collab_asd.seeding import derive

ATTACK, TAG = "speech near the machine", "speech"
LEVELS_DB = (6.0, 0.0, -6.0, -12.0)
"""Of the speech, above the machine."""
MOST_OWN, MOST_ATTACKED = 120, 40  # sounds of the adversary; clips of each client
LEAKED = (10, 100)

Victims = Mapping[float, Sequence[Heard]]


def find_speech(case: Case, found: Audit) -> None:
    """Carry out the attack at all levels of knowledge."""
    run, scope = case.run, case.scope
    victims = _victims(run, case.sides.attacked, min(scope.per_client, MOST_ATTACKED))
    makers = list(_levels(run, case.own[: min(scope.own, MOST_OWN)], case.sides.leaks, scope))
    with step("speech, by level of knowledge", len(makers)) as advance:
        for make in makers:
            level, seen = make()
            heard = {f"AUC at {loudness:g} dB": seen(clips) for loudness, clips in victims.items()}
            found.findings += probe.detect(level, TAG, "yes", ATTACK, heard)
            advance()


SPEECH = Attack(("embeddings", "recordings"), find_speech)


Seen = Callable[[Sequence[Heard]], Sequence[Heard]]
Maker = Callable[[], tuple[Level, Seen]]


def _levels(run: AuditedRun, own: Sequence[Heard], leaks: Sequence[Heard], scope: Scope) -> Iterator[Maker]:
    """Levels without attacked clips, beside what the adversary makes of these."""
    known = Level(KNOWS, talked_over(run, own, run.encoder, _as_sent(run)), [])

    def guess(number: int) -> tuple[Sequence[Heard], Codec]:
        codec = own_codec(run, own, guessed(run, number))
        return talked_over(run, own, guessed(run, number), codec), codec

    def architecture() -> tuple[Level, Seen]:
        bands, guesses = run.key_bands, map(guess, range(scope.keys))
        learnt = [clip for clips, codec in guesses for clip in by_band(clips, codec, bands)]
        return Level(ARCHITECTURE, learnt, []), lambda clips: by_band(clips, run.codec, bands)

    def leaked(count: int) -> Maker:
        return lambda: (
            Level(f"{count} clips leaked", talked_over(run, leaks[:count], run.encoder, _as_sent(run)), []),
            _as_shared,
        )

    yield lambda: (known, _as_shared)
    if run.key_bands:
        yield lambda: (Level(WRONG, guess(0)[0], []), _as_shared)
        yield architecture
    yield from (leaked(count) for count in LEAKED if count <= len(leaks))
    yield lambda: (shuffled(known), _as_shared)


def _as_sent(run: AuditedRun) -> Codec:
    """Return the codec, with noise of the adversary's own where clients add some."""
    return run.codec.with_own(run.defences.leaving(""))


def _as_shared(clips: Sequence[Heard]) -> Sequence[Heard]:
    return clips


def _victims(run: AuditedRun, attacked: Sequence[Heard], most: int) -> Victims:
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
    run: AuditedRun, clips: Sequence[Heard], encoder: Encoder, codec: Codec, levels_db: Sequence[float] = LEVELS_DB
) -> list[Heard]:
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
