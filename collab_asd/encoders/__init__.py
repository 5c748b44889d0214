"""Frozen encoders, by name, each without the offset of recorders. An `EncoderEntry` is all that others know of one.

An encoder is added by a file that exports its entry, and by its line in `ENCODERS`, or by an entry point of the group
``collab_asd.encoders`` in a package of its own. Only clients build encoders; the server's side never imports this
package, and knows an encoder by what the clients say of it.

The offset of a recorder (DC) is removed before any encoder: no machine causes it, and every front end hears it. The
encoders themselves are left as their authors published them, so that their outputs can be compared with the official
ones. Removing the offset is part of the digest: frames, detectors and agreements of versions that kept it are not mixed
with those of versions that do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from collab_asd.config import Precision, RunConfig, check_choice
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir
from collab_asd.core.registry import Registry
from collab_asd.core.seeding import read_key
from collab_asd.core.types import Encoder, EncoderSpec, FloatArray
from collab_asd.data.audio import Audio
from collab_asd.encoders.weights import WeightSource, resolve

MEAN_REMOVED = b"mean removed 1/"
CLIP_SECONDS = 10  # of the benchmark's clips, by which encoders are compared
OWN_LICENCE = "Apache-2.0"
PUBLIC_WEIGHTS = "Weights are public: whoever has them can train an inverse; docs/privacy.md measures what it recovers."


@dataclass(frozen=True)
class EncoderEntry:
    """What there is to know of an encoder before it is built.

    Parameters
    ----------
    build : callable
        Configuration -> the encoder.
    spec : EncoderSpec
        As of the encoder, under the name of the entry; digest and note are those of no particular weights or key.
    frames : callable
        Samples of a clip -> frames.
    about : str
        What it is, in one sentence.
    privacy : str
        What its frames give away, as far as anybody knows.
    work : float
        10^9 multiply-accumulates of a matrix product that take as long, on the same core, as to encode a second.
    weights : callable, optional
        Configuration -> where its weights come from; None where it needs none.
    key_bands : int
        Where its weights are drawn from a key: frequency bands of a frame, one after the other. 0 where it has no key.
    made_from : str
        Encoder whose frames, where they are in the cache, these are made from.
    licence, reference : str
        Terms, and whom to cite, where there are no weights.
    """

    build: Callable[[RunConfig], Encoder]
    spec: EncoderSpec
    frames: Callable[[int], int]
    about: str
    privacy: str
    work: float
    weights: Callable[[RunConfig], WeightSource] | None = None
    key_bands: int = 0
    made_from: str = ""
    licence: str = OWN_LICENCE
    reference: str = ""

    @property
    def takes_key(self) -> bool:
        """Whether its weights are drawn from a key that the clients share."""
        return self.key_bands > 0

    @property
    def file_key(self) -> str:
        """The configuration key that names its file, of weights or of a key; empty where it has neither."""
        if self.takes_key:
            return "encoder-key-file"
        return "encoder-weights" if self.weights else ""

    @property
    def clip_frames(self) -> int:
        """Frames of a clip of 10 s."""
        return self.frames(CLIP_SECONDS * self.spec.sample_rate)


ENCODERS: Registry[EncoderEntry] = Registry(
    "encoder",
    "collab_asd.encoders",
    EncoderEntry,
    {
        "random-conv": "collab_asd.encoders.random_conv:ENTRY",
        "logmel": "collab_asd.encoders.logmel:ENTRY",
        "waveform": "collab_asd.encoders.waveform:ENTRY",
        "yamnet": "collab_asd.encoders.yamnet:ENTRY",
        "openl3-512": "collab_asd.encoders.openl3:ENTRY_512",
        "openl3-6144": "collab_asd.encoders.openl3:ENTRY_6144",
        "panns": "collab_asd.encoders.panns:ENTRY",
        "efficientat": "collab_asd.encoders.efficientat:ENTRY",
        "efficientat-pooled": "collab_asd.encoders.efficientat:POOLED",
        "aisfx": "collab_asd.encoders.aisfx:ENTRY",
        "aisfx-bands": "collab_asd.encoders.aisfx:BANDED",
    },
    families={"hf:": "collab_asd.encoders.hf:entry"},
)


def build(config: RunConfig) -> OffsetRemoved:
    """Build the configured encoder on its device; it hears each clip without its mean (`remove_offset`).

    Raises
    ------
    InputError
        There is none of that name, its weights or key cannot be used, or it takes none and would ignore them.
    """
    require_valid(config)
    from collab_asd.core.runtime import resolve_device
    from collab_asd.encoders.torch_encoder import TorchEncoder

    device = resolve_device(config.device)
    encoder = ENCODERS.find(config.encoder).build(config)
    if encoder.spec.name != config.encoder:
        raise InputError(f"encoder {config.encoder!r}: calls itself {encoder.spec.name!r}; its author must fix that")
    if isinstance(encoder, TorchEncoder):
        encoder.to(device, config.precision)
    return remove_offset(encoder)


def require_valid(config: RunConfig) -> None:
    """Refuse an encoder that does not exist, and files that it has no use for or that are not there.

    An encoder is imported only to see whether it has a use for a file that is there.

    Raises
    ------
    InputError
        Names the encoder or the file.
    """
    check_choice("encoder", config.encoder, ENCODERS, see="`collab-asd encoders list` shows all")
    if config.encoder_weights and not Path(config.encoder_weights).expanduser().exists():
        raise InputError(
            f"encoder-weights = {config.encoder_weights}: no such file; name the weights of {config.encoder}, or a "
            "folder that holds them, with --weights"
        )
    if config.encoder_key_file:
        read_key(Path(config.encoder_key_file).expanduser(), "encoder key")
    given = {"encoder-weights": config.encoder_weights, "encoder-key-file": config.encoder_key_file}
    for key, value in given.items():
        if value and key != ENCODERS.find(config.encoder).file_key:
            raise InputError(f"{key} = {value!r}: encoder {config.encoder!r} takes none; leave it out")


def weights_file(source: WeightSource, config: RunConfig) -> Path:
    """Return the file of an encoder's weights: the configured one, or the official one, downloaded on first use."""
    given = Path(config.encoder_weights).expanduser() if config.encoder_weights else None
    return resolve(source, given, cache_dir(config.cache_dir))


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
    version = MEAN_REMOVED if precision == "fp32" else MEAN_REMOVED + precision.encode() + b"/"
    digest = hashlib.sha256(version + spec.digest.encode()).hexdigest()
    note = spec.note.replace(spec.digest[:12], digest[:12]) if spec.digest else spec.note  # which names its digest
    return replace(spec, digest=digest, note=note if precision == "fp32" else f"{note}; {precision}".lstrip("; "))
