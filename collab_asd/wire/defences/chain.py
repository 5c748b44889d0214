"""All defences of one client, in their order: noise, rotation, erasure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import takewhile

from cachetools import LRUCache, cached

from collab_asd.config import RunConfig
from collab_asd.core.types import Encoder, Partition
from collab_asd.wire.codecs.stages import Stage
from collab_asd.wire.defences.linear import Erasure, Rotation, load_rotation, load_rotation_key
from collab_asd.wire.defences.noise import Noise, PublicSphere, deviation, load_noise_key


@dataclass(frozen=True)
class Defences:
    """What stands between a client's frames and what it sends; nothing by default."""

    noise: Noise | None = None
    rotation: Rotation | None = None
    erasure: Erasure | None = None

    @property
    def detector_stages(self) -> tuple[Stage, ...]:
        """Those that the client's own detectors see, too: all but the noise, which is for others."""
        return (() if self.noise is None else (self.noise.clipping,)) + self._linear

    def sender_stages(self, clip: str) -> tuple[Stage, ...]:
        """Return what a clip, named by `clip_label`, goes through before it leaves."""
        return self.detector_stages if self.noise is None else (self.noise.of(clip), *self._linear)

    @property
    def _linear(self) -> tuple[Stage, ...]:
        return tuple(filter(None, (self.rotation, self.erasure)))

    def digest(self, encoder: str) -> str:
        """Digest of the space of what leaves: the encoder's own, and another one for each rotation of its frames."""
        if self.rotation is None:
            return encoder
        return hashlib.sha256(f"{encoder}/{self.rotation.fingerprint}".encode()).hexdigest()

    def note(self, encoder: str) -> str:
        """Add to the encoder's own note what a reader of the results must know of the defences."""
        notes = [
            encoder,
            "" if self.rotation is None else "turned by a secret rotation (no protection to rely on)",
            "" if self.noise is None else self.noise.note,
            "" if self.erasure is None else "a tagged attribute erased",
        ]
        return "; ".join(filter(None, notes))


def open_defences(config: RunConfig, encoder: Encoder, noise_key: bytes = b"") -> Defences:
    """Build the defences that need no recordings: all but the erasure.

    Parameters
    ----------
    config : RunConfig
    encoder : Encoder
    noise_key : bytes
        To draw noise from in place of the configured key.

    Raises
    ------
    InputError
        A key is missing or cannot be used.
    """
    rotation = load_rotation(config.rotation_key_file, encoder.spec.dimension) if config.rotation_key_file else None
    if not config.noise_epsilon:
        return Defences(rotation=rotation)
    public, key = _public_sphere(encoder), noise_key or load_noise_key(config.noise_key_file)
    sphere = PublicSphere(public.centre, config.noise_norm or public.radius)
    noise = Noise(epsilon=config.noise_epsilon, delta=config.noise_delta, sphere=sphere, key=key)
    return Defences(noise, rotation)


def require_keys(config: RunConfig) -> None:
    """Refuse keys that cannot be used, and noise that cannot be accounted for, before anything starts.

    Raises
    ------
    InputError
        Names the key, what is wrong and what to do.
    """
    if config.rotation_key_file:
        load_rotation_key(config.rotation_key_file)
    if config.noise_epsilon:
        load_noise_key(config.noise_key_file)
        deviation(config.noise_epsilon, config.noise_delta)


def clip_label(partition: Partition, index: int) -> str:
    """Name a clip of a client for its noise: by content, and by how many of the same stand before it."""
    clip = partition.clips[index]
    copies = takewhile(lambda other: other.sha256 == clip.sha256, reversed(partition.clips[:index]))
    return f"{clip.sha256}/{clip.channel}/{sum(1 for _ in copies)}"


@cached(LRUCache(maxsize=2), key=lambda encoder: encoder.spec.digest)
def _public_sphere(encoder: Encoder) -> PublicSphere:
    """Push the public sounds through an encoder once for all clients of a process."""
    return PublicSphere.of(encoder)
