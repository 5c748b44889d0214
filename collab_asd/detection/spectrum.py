"""A recording summarized by its log-mel spectrum: what a client's own score looks at, whatever encoder is shared.

That score never leaves the client, so there is nothing to gain from looking through an encoder that hides something.
The whole recording is summarized, and each segment of half a second, in which a short event is not averaged away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from collab_asd.core.torch_audio import FFT, HOP, MEL_BANDS, SAMPLE_RATE, log_mel
from collab_asd.core.types import EncoderSpec, FloatArray, ScoreArray
from collab_asd.detection.second_order import DIMENSION, FEATURES, Others, clip_features

SEGMENT = SAMPLE_RATE // 2 // HOP + 1  # log-mel frames: half a second; segments overlap by half
_DIGEST = hashlib.sha256(f"{FEATURES}; of the clip, and levels of segments of {SEGMENT} frames".encode()).hexdigest()
SPEC = EncoderSpec("clip-spectrum", SAMPLE_RATE, FFT, HOP, MEL_BANDS, stack=1, stack_hop=1, digest=_DIGEST)


class ClipSpectrum:
    """What a recording sounds like, as frames of an encoder: the cache of embeddings keeps them.

    The first two rows are the `clip_features` of the whole recording, mean levels and spreads; the others are the mean
    levels of its segments of half a second, in their order.
    """

    spec = SPEC

    @staticmethod
    def frames(samples: int) -> int:
        """Count the rows of a waveform of so many samples: 0 where it is shorter than one window."""
        spectra = 1 + (samples - FFT) // HOP
        return 2 + len(_starts(spectra)) if samples >= FFT else 0

    @torch.inference_mode()
    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Summarize a waveform ``[samples]`` at 16 kHz -> ``[2 + segments, 128]`` in dB."""
        centred = waveform - np.float32(waveform.mean(dtype=np.float64))  # no machine causes a recorder's offset
        return summarize(log_mel(torch.tensor(centred)).numpy())


def summarize(frames: FloatArray) -> FloatArray:
    """Summarize log-mel frames ``[T, 128]``: `clip_features`, then levels of segments -> ``[2 + segments, 128]``."""
    levels, spreads = np.split(clip_features(frames), 2)
    frames = np.asarray(frames, np.float64)
    segments = [frames[start : start + SEGMENT].mean(axis=0) for start in _starts(len(frames))]
    return np.array([levels, spreads, *segments], np.float32)


def _starts(frames: int) -> list[int]:
    """Where segments begin, so that none of the frames is left out; a shorter recording is its only segment."""
    last = max(frames - SEGMENT, 0)
    return [*range(0, last, SEGMENT // 2), last]


def whole_clips(summaries: Sequence[FloatArray]) -> FloatArray:
    """Take the features of whole recordings ``[n, 256]`` out of their summaries."""
    return np.array([summary[:2].ravel() for summary in summaries], np.float32)


@cache
def _triangle(dimension: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the upper triangle of a matrix lies; it takes longer to say than to copy."""
    return np.triu_indices(dimension)


TRIANGLE = _triangle(DIMENSION)


def others_to_arrays(others: Others) -> dict[str, NDArray[Any]]:
    """Lay out what the server sends to one machine, or what its detector keeps."""
    covariance = others.covariance[_triangle(len(others.variances))].astype(np.float32)
    return {"dof": np.array([others.dof]), "variances": others.variances.astype(np.float32), "covariance": covariance}


def others_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Others:
    """Read what `others_to_arrays` wrote."""
    variances = np.asarray(arrays["variances"], np.float64)
    covariance = symmetric(np.asarray(arrays["covariance"], np.float64), len(variances))
    return Others(int(arrays["dof"][0]), variances, covariance)


def symmetric(triangle: ScoreArray, dimension: int = DIMENSION) -> ScoreArray:
    """Put the triangle ``[d (d + 1) / 2]`` of a symmetric matrix together -> ``[d, d]``."""
    matrix = np.zeros((dimension, dimension))
    matrix[_triangle(dimension)] = triangle
    return np.asarray(matrix + matrix.T - np.diag(matrix.diagonal()))
