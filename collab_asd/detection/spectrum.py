"""A recording summarized by its log-mel spectrum: what a client's own score looks at, whatever encoder is shared.

That score never leaves the client, so there is nothing to gain from looking through an encoder that hides something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from collab_asd.core.logmel import FFT, HOP, SAMPLE_RATE, log_mel
from collab_asd.core.types import EncoderSpec, FloatArray, ScoreArray
from collab_asd.detection.second_order import DIMENSION, FEATURES_DIGEST, Others, clip_features

SPEC = EncoderSpec("clip-spectrum", SAMPLE_RATE, FFT, HOP, DIMENSION, stack=1, stack_hop=1, digest=FEATURES_DIGEST)


class ClipSpectrum:
    """`clip_features` of a recording, as an encoder of one frame: the cache of embeddings keeps it."""

    spec = SPEC

    @staticmethod
    def frames(samples: int) -> int:
        """Return 1 for a waveform of at least one window."""
        return int(samples >= FFT)

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Summarize a waveform ``[samples]`` at 16 kHz -> ``[1, 256]`` in dB."""
        centred = waveform - np.float32(waveform.mean(dtype=np.float64))  # no machine causes a recorder's offset
        features = clip_features(log_mel(torch.tensor(centred)).numpy())
        return features.astype(np.float32)[np.newaxis]


TRIANGLE = np.triu_indices(DIMENSION)


def others_to_arrays(others: Others) -> dict[str, NDArray[Any]]:
    """Lay out what the server sends to one machine, or what its detector keeps."""
    covariance = others.covariance[np.triu_indices(len(others.variances))].astype(np.float32)
    return {"dof": np.array([others.dof]), "variances": others.variances.astype(np.float32), "covariance": covariance}


def others_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Others:
    """Read what `others_to_arrays` wrote."""
    variances = np.asarray(arrays["variances"], np.float64)
    covariance = symmetric(np.asarray(arrays["covariance"], np.float64), len(variances))
    return Others(int(arrays["dof"][0]), variances, covariance)


def symmetric(triangle: ScoreArray, dimension: int = DIMENSION) -> ScoreArray:
    """Put the triangle ``[d (d + 1) / 2]`` of a symmetric matrix together -> ``[d, d]``."""
    matrix = np.zeros((dimension, dimension))
    matrix[np.triu_indices(dimension)] = triangle
    return np.asarray(matrix + matrix.T - np.diag(matrix.diagonal()))
