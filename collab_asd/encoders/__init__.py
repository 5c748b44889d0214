"""Frozen encoders f_c, by name. An encoder is added by one file and one line of `ENCODERS`.

Only clients build encoders; the server's side never imports this package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from collab_asd.config import RunConfig, check_choice
from collab_asd.encoders.weights import WeightSource, resolve
from collab_asd.errors import InputError
from collab_asd.interfaces import Encoder
from collab_asd.keyed import read_key
from collab_asd.paths import cache_dir


def _random_conv(config: RunConfig) -> Encoder:
    from collab_asd.encoders.random_conv import RandomConv, demo_key, load_key

    if config.encoder_key_file:
        return RandomConv(load_key(Path(config.encoder_key_file).expanduser()))
    return RandomConv(demo_key(config.seed))


def _logmel(config: RunConfig) -> Encoder:
    from collab_asd.encoders.logmel import LogMel

    return LogMel()


def _waveform(config: RunConfig) -> Encoder:
    from collab_asd.encoders.waveform import Waveform

    return Waveform()


def _yamnet(config: RunConfig) -> Encoder:
    from collab_asd.encoders.yamnet import WEIGHTS, YamNet

    return YamNet(_weights(WEIGHTS, config))


def _panns(config: RunConfig) -> Encoder:
    from collab_asd.encoders.panns import WEIGHTS, Panns

    return Panns(_weights(WEIGHTS, config))


def _efficientat(config: RunConfig) -> Encoder:
    from collab_asd.encoders.efficientat import WEIGHTS, EfficientAt

    return EfficientAt(_weights(WEIGHTS, config), pooled=config.encoder == "efficientat-pooled")


def _openl3(config: RunConfig, dimension: Literal[512, 6144]) -> Encoder:
    from collab_asd.encoders.openl3 import WEIGHTS, OpenL3

    model = config.openl3_model
    if config.openl3_backend == "package":
        return _packaged_openl3(config, dimension)
    return OpenL3(_weights(WEIGHTS[model], config), dimension, model, config.frontend)


def _packaged_openl3(config: RunConfig, dimension: Literal[512, 6144]) -> Encoder:
    from collab_asd.encoders.openl3.package import PackagedOpenL3

    if config.frontend != "kapre":
        raise InputError(f"frontend = {config.frontend}: the package openl3 has kapre alone; use openl3-backend = port")
    given = Path(config.encoder_weights).expanduser() if config.encoder_weights else None
    return PackagedOpenL3(given, dimension, config.openl3_model)


ENCODERS: dict[str, Callable[[RunConfig], Encoder]] = {
    "random-conv": _random_conv,
    "logmel": _logmel,
    "waveform": _waveform,
    "yamnet": _yamnet,
    "openl3-512": partial(_openl3, dimension=512),
    "openl3-6144": partial(_openl3, dimension=6144),
    "panns": _panns,
    "efficientat": _efficientat,
    "efficientat-pooled": _efficientat,
}


TAKES_WEIGHTS = {"yamnet", "openl3-512", "openl3-6144", "panns", "efficientat", "efficientat-pooled"}
TAKES_KEY = {"random-conv"}


def build(config: RunConfig) -> Encoder:
    """Build the configured encoder.

    Raises
    ------
    InputError
        There is none of that name, its weights or key cannot be used, or it takes none and would ignore them.
    """
    require_valid(config)
    return ENCODERS[config.encoder](config)


def require_valid(config: RunConfig) -> None:
    """Refuse an encoder that does not exist, and files that it has no use for or that are not there.

    This takes no time: neither weights nor keys are read.

    Raises
    ------
    InputError
        Names the encoder or the file.
    """
    check_choice("encoder", config.encoder, ENCODERS, see="`collab-asd encoders list` shows all")
    _require_used("encoder-weights", config.encoder_weights, config.encoder in TAKES_WEIGHTS, config)
    _require_used("encoder-key-file", config.encoder_key_file, config.encoder in TAKES_KEY, config)
    if config.encoder_weights and not Path(config.encoder_weights).expanduser().exists():
        raise InputError(
            f"encoder-weights = {config.encoder_weights}: no such file; name the weights of {config.encoder}, or a "
            "folder that holds them, with --weights"
        )
    if config.encoder_key_file:
        read_key(Path(config.encoder_key_file).expanduser(), "encoder key")


def _weights(source: WeightSource, config: RunConfig) -> Path:
    """Return the file of an encoder's weights: the given one, or the official one, downloaded on first use."""
    given = Path(config.encoder_weights).expanduser() if config.encoder_weights else None
    return resolve(source, given, cache_dir(config.cache_dir))


def _require_used(key: str, value: str, used: bool, config: RunConfig) -> None:
    if value and not used:
        raise InputError(f"{key} = {value!r}: encoder {config.encoder!r} takes none; leave it out")
