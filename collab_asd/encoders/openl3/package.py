"""The package `openl3` itself as the encoder, for who has it installed: TensorFlow computes, not PyTorch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from collab_asd.core.errors import InputError
from collab_asd.core.types import EncoderSpec, FloatArray
from collab_asd.encoders.openl3.encoder import Dimension, ModelName, OpenL3, specification
from collab_asd.encoders.openl3.front_end import SAMPLE_RATE

HOP_SECONDS = 0.1


class PackagedOpenL3:
    """Encode a clip as `OpenL3` does, by the official code (front end of 0.4 and later).

    Parameters
    ----------
    weights : Path or None
        A file of weights; None for those that came with the package.
    dimension : {512, 6144}
    model : str
        Input and what the network was trained on.

    Raises
    ------
    InputError
        The package is not installed.
    """

    frames = staticmethod(OpenL3.frames)

    def __init__(self, weights: Path | None, dimension: Dimension, model: ModelName = "mel256-music") -> None:
        core, models = _package()
        bands, content = model.split("-")
        self._embed, self._dimension = core.get_audio_embedding, dimension
        if weights is None:
            self._model = models.load_audio_embedding_model(bands, content, dimension, frontend="kapre")
        else:
            self._model = models.load_audio_embedding_model_from_path(str(weights), bands, dimension, frontend="kapre")
        words = f"collab-asd openl3 package {version('openl3')}: {model}, {dimension}"
        digest = hashlib.sha256(words.encode() + (b"" if weights is None else weights.read_bytes())).hexdigest()
        origin = "its own weights" if weights is None else f"weights from {weights.name}"
        self._spec = replace(specification(dimension), digest=digest, note=f"{words}, {origin}")

    @property
    def spec(self) -> EncoderSpec:
        """Rate, framing, dimension, stacking and digest."""
        return self._spec

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` at 48 kHz, full scale 1, into frames ``[T, D]``."""
        frames, _ = self._embed(
            waveform, SAMPLE_RATE, model=self._model, center=True, hop_size=HOP_SECONDS, frontend="kapre", verbose=False
        )
        return np.asarray(frames, np.float32)


def _package() -> tuple[Any, Any]:
    try:
        from openl3 import core, models
    except ImportError as error:
        raise InputError(
            "openl3-backend = package: openl3 is not installed (pip install 'collab-asd[openl3]'); without it, leave "
            "the key at port"
        ) from error
    return core, models
