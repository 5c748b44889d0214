"""OpenL3 as an encoder: 96 frames of 512 or 6144 dimensions for 10 s."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from collab_asd.config import Precision, RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.types import Encoder, EncoderSpec, FloatArray
from collab_asd.encoders import PUBLIC_WEIGHTS, EncoderEntry, weights_file
from collab_asd.encoders.openl3.front_end import SAMPLE_RATE, WINDOW, DecibelMel, FrontEndName
from collab_asd.encoders.openl3.network import (
    SHORT,
    build_network,
    long_embedding,
    read_openl3,
    short_embedding,
    weights_digest,
)
from collab_asd.encoders.torch_encoder import TorchEncoder
from collab_asd.encoders.weights import WeightSource, provenance

log = logging.getLogger(__name__)

ModelName = Literal["mel256-music", "mel256-env", "mel128-music", "mel128-env"]
Dimension = Literal[512, 6144]

HOP = 4_800  # samples between two windows: 0.1 s
CENTRE = WINDOW // 2  # zeros before a clip, so that its first sample lies in the middle of the first window
STACK, STACK_HOP = 32, 4  # frames


def _source(model: ModelName) -> WeightSource:
    filename = f"openl3_audio_{model.replace('-', '_')}-v0_4_0.h5.gz"
    return WeightSource(
        name=f"OpenL3 {model}",
        url=f"https://github.com/marl/openl3/raw/models/{filename}",
        filename=filename,
        licence="CC-BY-4.0",
        citation=(
            "A. L. Cramer, H.-H. Wu, J. Salamon, J. P. Bello, Look, listen, and learn more: Design choices for deep "
            "audio embeddings, ICASSP 2019"
        ),
    )


WEIGHTS: dict[ModelName, WeightSource] = {
    "mel256-music": _source("mel256-music"),
    "mel256-env": _source("mel256-env"),
    "mel128-music": _source("mel128-music"),
    "mel128-env": _source("mel128-env"),
}


class OpenL3(TorchEncoder):
    """Encode a clip with pre-trained OpenL3 weights; one frame of the last second every 0.1 s, centred.

    One window is independent of the others. Safe to share between threads.

    Parameters
    ----------
    weights : Path
        The official file of `model`, packed or not; see `WEIGHTS`.
    dimension : {512, 6144}
        Maximum over the whole last map, or over 4 x 3 places of it.
    model : str
        Input and what the network was trained on.
    front_end : {"kapre", "legacy"}
        Which generation of the package to follow; see `collab_asd.encoders.openl3`.

    Raises
    ------
    InputError
        When the file is not HDF5, is truncated, or holds another model.
    """

    batch = 8  # windows: 250 MB of maps
    batch_in_bf16 = 2  # windows: more leave the processor's cache, and take a fifth longer each

    def __init__(
        self,
        weights: Path,
        dimension: Dimension,
        model: ModelName = "mel256-music",
        front_end: FrontEndName = "kapre",
    ) -> None:
        layers = read_openl3(weights, model)
        bands = int(model[3:6])
        self.front_end = DecibelMel(front_end, bands)
        self.network = build_network(layers)

        def with_weights(dimension: Dimension) -> EncoderSpec:
            digest = weights_digest(f"collab-asd openl3 1: {bands} bands, {front_end}, {dimension}", layers)
            note = f"{model}, front end {front_end}, {provenance(WEIGHTS[model], weights, digest)}"
            return replace(specification(dimension), digest=digest, note=note)

        self._spec, self._source = with_weights(dimension), with_weights(6144)

    def to(self, device: str, precision: Precision = "fp32") -> Self:
        """Move it to a device; see `TorchEncoder.to`."""
        super().to(device, precision)
        self._most = self.batch_in_bf16 if (self.device.type, self.precision) == ("cpu", "bf16") else 0
        return self

    @property
    def source(self) -> EncoderSpec:
        """The encoder of 6144 dimensions, whose frames hold those of 512."""
        return self._source

    def derive(self, frames: FloatArray) -> FloatArray:
        """Turn frames of 6144 dimensions ``[T, 6144]`` into this encoder's ``[T, D]``."""
        return np.asarray(self._pooled(torch.tensor(frames)).numpy())

    @staticmethod
    def frames(samples: int) -> int:
        """Windows of a clip: at least one; zeros fill up the last."""
        return window_count(CENTRE + samples, HOP)

    def windows(self, waveform: Tensor) -> Tensor:
        """Cut one clip ``[samples]`` at 48 kHz into windows ``[T, 48000]``."""
        samples = len(waveform)
        if samples < WINDOW:
            log.warning("A clip of %.2f s is shorter than a window of 1 s: zeros fill it up", samples / SAMPLE_RATE)
        missing = WINDOW + (self.frames(samples) - 1) * HOP - CENTRE - samples
        return F.pad(waveform, (CENTRE, missing)).unfold(0, WINDOW, HOP)

    def embed(self, windows: Tensor) -> Tensor:
        """Encode windows ``[n, 48000]`` into frames ``[n, D]``."""
        decibels = self.front_end(windows)
        with self.autocast():
            maps: Tensor = self.network(decibels)
        return self._pooled(long_embedding(maps.float()))

    def _pooled(self, long: Tensor) -> Tensor:
        return short_embedding(long) if self._spec.dimension == SHORT else long


def specification(dimension: Dimension) -> EncoderSpec:
    """All of it that no weights are needed for."""
    return EncoderSpec(f"openl3-{dimension}", SAMPLE_RATE, WINDOW, HOP, dimension, STACK, STACK_HOP, digest="")


def window_count(samples: int, hop: int) -> int:
    """Windows every `hop` samples until the last sample is inside one."""
    return 1 + max(0, -(-(samples - WINDOW) // hop))


def _build(config: RunConfig, dimension: Dimension) -> Encoder:
    model = config.openl3_model
    if config.openl3_backend == "port":
        return OpenL3(weights_file(WEIGHTS[model], config), dimension, model, config.frontend)
    from collab_asd.encoders.openl3.package import PackagedOpenL3

    if config.frontend != "kapre":
        raise InputError(f"frontend = {config.frontend}: the package openl3 has kapre alone; use openl3-backend = port")
    given = Path(config.encoder_weights).expanduser() if config.encoder_weights else None
    return PackagedOpenL3(given, dimension, model)


def _entry(dimension: Dimension, places: str, made_from: str = "") -> EncoderEntry:
    return EncoderEntry(
        build=partial(_build, dimension=dimension),
        spec=specification(dimension),
        frames=OpenL3.frames,
        about=f"A deep convolutional network over log-mel spectra of 1 s, trained on video; maximum {places}.",
        privacy=PUBLIC_WEIGHTS,
        work=80.0,
        weights=lambda config: WEIGHTS[config.openl3_model],
        made_from=made_from,
    )


ENTRY_512 = _entry(512, "over the whole map", made_from="openl3-6144")
ENTRY_6144 = _entry(6144, "over 4 x 3 places of it")
