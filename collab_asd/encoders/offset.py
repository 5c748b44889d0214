"""The offset of a recorder (DC) is removed before any encoder: no machine causes it, and every front end hears it.

The encoders themselves are left as their authors published them, so that their outputs can be compared with the
official ones. Removing the offset is part of the digest: frames, detectors and agreements of versions that kept it are
not mixed with those of versions that do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from collab_asd.config import Precision
from collab_asd.core.types import Encoder, EncoderSpec, FloatArray
from collab_asd.data.audio import Audio

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
        self.encoder, self._spec = encoder, without_offset(encoder.spec, getattr(encoder, "precision", "fp32"))

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

    @property
    def on_accelerator(self) -> bool:
        """Whether it is worth while to encode several clips at once."""
        device = getattr(self.encoder, "device", None)
        return device is not None and device.type != "cpu"

    def encode(self, recordings: Sequence[Audio]) -> list[FloatArray]:
        """Encode decoded clips, resampling included, on the encoder's device -> frames ``[T, D]`` of each."""
        import torch

        from collab_asd.data.resampling import resample_tensor
        from collab_asd.encoders.torch_encoder import TorchEncoder

        if not isinstance(self.encoder, TorchEncoder):
            raise TypeError(f"{self.spec.name} knows no device")
        device, waveforms = self.encoder.device, []
        for audio in recordings:
            waveform = torch.from_numpy(np.ascontiguousarray(audio.waveform))
            waveform = (waveform.pin_memory() if device.type == "cuda" else waveform).to(device, non_blocking=True)
            if audio.rate != self.spec.sample_rate:
                waveform = resample_tensor(waveform, audio.rate, self.spec.sample_rate)
            waveforms.append(waveform - waveform.mean())
        return self.encoder.encode(waveforms)


class DerivedOffsetRemoved(OffsetRemoved):
    """One whose frames follow from those of another encoder that hears the clip without its mean, too."""

    def __init__(self, encoder: Encoder, derived: DerivedEncoder) -> None:
        super().__init__(encoder)
        self.derive, self._derived = derived.derive, derived

    @property
    def source(self) -> EncoderSpec:
        """The encoder that they follow from."""
        return without_offset(self._derived.source, getattr(self.encoder, "precision", "fp32"))


def remove_offset(encoder: Encoder) -> OffsetRemoved:
    """Put the removal of the mean before an encoder."""
    return DerivedOffsetRemoved(encoder, encoder) if isinstance(encoder, DerivedEncoder) else OffsetRemoved(encoder)


def without_offset(spec: EncoderSpec, precision: Precision = "fp32") -> EncoderSpec:
    """Return what is known of an encoder once the mean is removed before it, and its network is computed in bf16."""
    version = VERSION if precision == "fp32" else VERSION + precision.encode() + b"/"
    digest = hashlib.sha256(version + spec.digest.encode()).hexdigest()
    note = spec.note.replace(spec.digest[:12], digest[:12]) if spec.digest else spec.note  # which names its digest
    return replace(spec, digest=digest, note=note if precision == "fp32" else f"{note}; {precision}".lstrip("; "))
