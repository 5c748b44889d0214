"""How much an audit looks at, what every adversary brings along, and what comes out of it.

Model stealing tells which models each party holds, and so loses when it is broken into.

Adversary: whoever breaks into a client or the server, or reads the messages between them. Goal: all that detecting
needs: f_c and f_s. Read from the recorded view, not from intentions; there is nothing random in it.

Source: K. Dohi and Y. Kawaguchi, section IV-C.

Every adversary brings along sounds of its own, heard through f_c or through encoders of its own making.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from collab_asd import encoders
from collab_asd.audit.measures import Finding
from collab_asd.audit.observations import ObservedClip, own_sounds, tags_of
from collab_asd.audit.run import AuditedRun
from collab_asd.config import RunConfig
from collab_asd.core.files import cache_dir
from collab_asd.core.progress import step
from collab_asd.core.types import Encoder, FloatArray
from collab_asd.data.synthetic import SyntheticSettings
from collab_asd.methods import METHODS
from collab_asd.wire.codecs import Codec

TRUTH = "truth"
OTHER_KEYS = 1_000_000  # demo keys from here on are the adversary's own
OTHER_MACHINES = SyntheticSettings(machines=18, seed=1000, train=14, test_normal=0, test_anomaly=0)


@dataclass(frozen=True)
class Party:
    """One who could be broken into.

    Parameters
    ----------
    name : str
    f_c, f_s, embeddings : bool
        Whether it holds these. Embeddings are those of other clients.
    """

    name: str
    f_c: bool
    f_s: bool
    embeddings: bool

    @property
    def complete(self) -> bool:
        """Whether a thief can score recordings with what is found there."""
        return self.f_c and self.f_s

    def to_plain(self) -> dict[str, Any]:
        """Lay out for JSON."""
        return asdict(self) | {"complete": self.complete}


def parties(run: AuditedRun) -> list[Party]:
    """Read who holds what. A public f_c is held by all who have seen its digest, since that names it."""
    named, sent = f_c_is_named(run), bool(run.view.classifiers())
    shared = METHODS.find(run.config.method).sends_frames
    return [
        Party("a client", True, sent, False),
        Party("the server", named, sent or shared, shared),
        Party("a reader of all messages", named, sent, shared),
    ]


def f_c_is_named(run: AuditedRun) -> bool:
    """Whether the digest that clients send is one that anybody can compute: of public weights, or of a demo key."""
    public = replace(run.config, encoder_key_file="")
    return {encoders.build(public).spec.digest} == run.view.encoder_digests()


@dataclass(frozen=True)
class AuditConfig:
    """How much is looked at: the adversary's own sounds, clips of each client, keys that the adversary tries."""

    own: int
    per_client: int
    keys: int


FULL, QUICK = AuditConfig(own=240, per_client=100, keys=3), AuditConfig(own=80, per_client=25, keys=1)


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
        Estimates of the first attacked clip of each client by level of knowledge, and its truth: log-mel spectra
        ``[n, bands]`` in dB.
    recordings : dict of int to FloatArray
        By client, the stretch of sound that is pictured ``[samples]``, at the rate of `collab_asd.audit.spectra`.
    hop : int
        Samples between two spectra of the pictures.
    """

    findings: list[Finding] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    parties: list[Party] = field(default_factory=list)
    pictures: dict[str, list[FloatArray]] = field(default_factory=dict)
    recordings: dict[int, FloatArray] = field(default_factory=dict)
    hop: int = 0


def synthetic_sounds(config: RunConfig) -> Path:
    """Make sounds for an adversary that has none: tagged synthetic machines of all types, other ones than a run's."""
    from collab_asd.data.synthetic.dataset import ensure_dataset

    return ensure_dataset(OTHER_MACHINES, cache_dir(config.cache_dir))


def hear(run: AuditedRun, data: Path, scope: AuditConfig) -> list[ObservedClip]:
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
            own.append(ear.own(clip, run.encoder, run.codec.with_own(run.defences.sender_stages("")), tags[clip]))
            advance()
    return own


def guessed(run: AuditedRun, number: int) -> Encoder:
    """Build an encoder of the run's architecture, which takes a key, with a key of the adversary's own."""
    return encoders.build(replace(run.config, encoder_key_file="", seed=OTHER_KEYS + number))


def own_codec(run: AuditedRun, own: Sequence[ObservedClip], encoder: Encoder) -> Codec:
    """Fit the run's kind of codec to the adversary's own sounds under an encoder of its own, or without rotation."""
    codec = run.imitated(run.codec)
    if not codec.learns:
        return codec
    frames = (run.ear.cache.encode(encoder, clip.clip) for clip in own)
    return codec.fit([codec.statistics(frames)])
