"""The offset of a recorder (DC) is removed before any encoder: no machine causes it, and every front end hears it.

The encoders themselves are left as their authors published them, so that their outputs can be compared with the
official ones. Removing the offset is part of the digest: frames, detectors and agreements of versions that kept it are
not mixed with those of versions that do not.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from collab_asd.core.types import Encoder, EncoderSpec, FloatArray

VERSION = b"mean removed 1/"


@runtime_checkable
class DerivedEncoder(Protocol):
    """An encoder whose frames follow from another's, by pooling: whoever has these encodes nothing."""

    @property
    def source(self) -> EncoderSpec:
        """The encoder that they follow from."""
        ...

    def derive(self, frames: FloatArray) -> FloatArray:
        """Turn frames ``[T, D of the source]`` into frames ``[T, D]``."""
        ...


class OffsetRemoved:
    """An encoder that hears each clip without its mean.

    Parameters
    ----------
    encoder : Encoder
        What encodes the clip then.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self._spec = encoder, without_offset(encoder.spec)

    @property
    def spec(self) -> EncoderSpec:
        """That of the encoder, with a digest of its own."""
        return self._spec

    def frames(self, samples: int) -> int:
        """Return the number of frames T that a clip of so many samples gives."""
        return self.encoder.frames(samples)

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` into frames ``[T, D]``."""
        return self.encoder(waveform - np.float32(waveform.mean(dtype=np.float64)))


class DerivedOffsetRemoved(OffsetRemoved):
    """One whose frames follow from those of another encoder that hears the clip without its mean, too."""

    def __init__(self, encoder: Encoder, derived: DerivedEncoder) -> None:
        super().__init__(encoder)
        self.derive, self._derived = derived.derive, derived

    @property
    def source(self) -> EncoderSpec:
        """The encoder that they follow from."""
        return without_offset(self._derived.source)


def remove_offset(encoder: Encoder) -> OffsetRemoved:
    """Put the removal of the mean before an encoder."""
    return DerivedOffsetRemoved(encoder, encoder) if isinstance(encoder, DerivedEncoder) else OffsetRemoved(encoder)


def without_offset(spec: EncoderSpec) -> EncoderSpec:
    """Return what is known of an encoder once the mean is removed before it."""
    digest = hashlib.sha256(VERSION + spec.digest.encode()).hexdigest()
    note = spec.note.replace(spec.digest[:12], digest[:12]) if spec.digest else spec.note  # which names its digest
    return replace(spec, digest=digest, note=note)
