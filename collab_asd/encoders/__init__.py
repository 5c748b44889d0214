"""Frozen encoders, by name. An `EncoderEntry` is all that the rest of the program knows of one.

An encoder is added by a file that exports its entry, and by its line in `ENCODERS`, or by an entry point of the group
``collab_asd.encoders`` in a package of its own. Only clients build encoders; the server's side never imports this
package, and knows an encoder by what the clients say of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collab_asd.config import RunConfig, check_choice
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir
from collab_asd.core.registry import Registry
from collab_asd.core.seeding import read_key
from collab_asd.core.types import Encoder, EncoderSpec
from collab_asd.encoders.offset import OffsetRemoved, remove_offset
from collab_asd.encoders.weights import WeightSource, resolve

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
    """Build the configured encoder on its device; it hears each clip without its mean (`collab_asd.encoders.offset`).

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
