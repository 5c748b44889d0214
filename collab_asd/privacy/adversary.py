"""What every adversary brings along: sounds of its own, heard through f_c or through encoders of its own making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from collab_asd import encoders
from collab_asd.codecs import Codec
from collab_asd.config import RunConfig
from collab_asd.data.synthetic.settings import SyntheticSettings
from collab_asd.interfaces import Encoder
from collab_asd.paths import cache_dir
from collab_asd.privacy.outcome import Scope
from collab_asd.privacy.run import AuditedRun
from collab_asd.privacy.sounds import Heard, own_sounds, tags_of
from collab_asd.progress import step

OTHER_KEYS = 1_000_000  # demo keys from here on are the adversary's own
OTHER_MACHINES = SyntheticSettings(machines=18, seed=1000, train=14, test_normal=0, test_anomaly=0)


def synthetic_sounds(config: RunConfig) -> Path:
    """Make sounds for an adversary that has none: tagged synthetic machines of all types, other ones than a run's."""
    from collab_asd.data.synthetic.dataset import ensure_dataset  # here, because it takes a second to import

    return ensure_dataset(OTHER_MACHINES, cache_dir(config.cache_dir))


def hear(run: AuditedRun, data: Path, scope: Scope) -> list[Heard]:
    """Push an adversary's own sounds through f_c and the codec.

    Raises
    ------
    InputError
        There are too few of them.
    """
    clips, ear = own_sounds(data, run.hashes, scope.own), run.ear
    tags = tags_of(data, clips)
    with step("the adversary's own sounds", len(clips)) as advance:
        own = []
        for clip in clips:
            own.append(ear.own(clip, run.encoder, run.codec.with_own(run.defences.leaving("")), tags[clip]))
            advance()
    return own


def guessed(run: AuditedRun, number: int) -> Encoder:
    """Build an encoder of the run's architecture, which takes a key, with a key of the adversary's own."""
    return encoders.build(replace(run.config, encoder_key_file="", seed=OTHER_KEYS + number))


def own_codec(run: AuditedRun, own: Sequence[Heard], encoder: Encoder) -> Codec:
    """Fit the run's kind of codec to the adversary's own sounds under an encoder of its own, or without rotation."""
    codec = run.imitated(run.codec)
    if not codec.learns:
        return codec
    frames = (run.ear.cache.encode(encoder, clip.clip) for clip in own)
    return codec.fit([codec.statistics(frames)])
