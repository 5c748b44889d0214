"""The two sides of an audit: what the victims sent, beside the truth of it, and the adversary's own sounds.

Linear decoders lead from shared rows to spectra, and an alignment from one embedding space to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress, count
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, orthogonal_procrustes

from collab_asd.audit.spectra import SAMPLE_RATE, Timing, spectra_of_rows
from collab_asd.audit.view import SharedRows
from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip, Encoder, FloatArray, Partition
from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.data.tags import Tags, tags_of
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.wire.codecs import Codec, CodecPlan
from collab_asd.wire.codecs.stages import Float32, Product, Rows, Storing

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # of ridge regression, in mean variances of a feature
UNTUNED = 0.1  # with fewer clips than `FEWEST`
FEWEST = 4


@dataclass(frozen=True)
class Pairs:
    """Clips of which an adversary has both.

    Parameters
    ----------
    rows : sequence of FloatArray
        ``[n, d]`` by clip, as numbers.
    spectra : sequence of FloatArray
        ``[n, m]`` by clip: what each row was, or is to be decoded to.
    machines : sequence of str
        Whose sound each clip is.
    """

    rows: Sequence[FloatArray]
    spectra: Sequence[FloatArray]
    machines: Sequence[str]

    def halves(self) -> tuple[Pairs, Pairs]:
        """Divide so that the second part has other machines than the first, or other clips if there is one machine."""
        names = sorted(set(self.machines))
        first = set(names[: -(-len(names) // 2)])
        inside = [name in first if len(names) > 1 else i % 2 == 0 for i, name in enumerate(self.machines)]
        return self._pick(inside), self._pick([not one for one in inside])

    def _pick(self, wanted: Sequence[bool]) -> Pairs:
        rows, spectra = (list(compress(part, wanted)) for part in (self.rows, self.spectra))
        return Pairs(rows, spectra, list(compress(self.machines, wanted)))


def in_context(rows: FloatArray) -> FloatArray:
    """Rows ``[n, d]`` beside the one before and the one after -> ``[n, 3 d]``; at the ends a row stands twice."""
    return np.hstack([rows[np.maximum(np.arange(len(rows)) - 1, 0)], rows, rows[[*range(1, len(rows)), -1]]])


@dataclass(frozen=True)
class RidgeDecoder:
    """Ridge regression from rows in context to spectra (A. Hoerl and R. Kennard, Technometrics 12(1), 1970).

    Where each clip has one row, there is no context: the row is decoded by itself.
    """

    single: bool
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def fit(cls, pairs: Pairs) -> Self:
        """Fit to pairs; the penalty is the one that goes best from one half of the machines to the other."""
        strength = UNTUNED
        if len(pairs.rows) >= FEWEST:
            one, other = pairs.halves()
            errors = [
                [decoder._error(b) for decoder in cls._fits(a, STRENGTHS)] for a, b in ((one, other), (other, one))
            ]
            strength = STRENGTHS[int(np.argmin(np.sum(errors, axis=0)))]
        return cls._fits(pairs, (strength,))[0]

    @classmethod
    def _fits(cls, pairs: Pairs, strengths: Sequence[float]) -> list[Self]:
        """Fit once for each strength, from one decomposition."""
        single = all(len(rows) == 1 for rows in pairs.rows)
        inputs = np.concatenate([rows if single else in_context(rows) for rows in pairs.rows]).astype(np.float64)
        outputs = np.concatenate(pairs.spectra).astype(np.float64)
        mean, deviation, offset = inputs.mean(axis=0), inputs.std(axis=0), outputs.mean(axis=0)
        scale = 1.0 / np.where(deviation > 1e-6, deviation, np.inf)  # what is constant says nothing
        inputs = (inputs - mean) * scale
        lengths, axes = eigh(inputs.T @ inputs)
        projected = axes.T @ (inputs.T @ (outputs - offset))
        penalties = [strength * len(inputs) for strength in strengths]
        weights = [axes @ (projected / (np.maximum(lengths, 0) + p)[:, np.newaxis]) for p in penalties]
        return [cls(single, mean, scale, w, offset) for w in weights]

    def decode(self, rows: FloatArray) -> FloatArray:
        """Estimate the spectra ``[n, m]`` of one clip from its rows ``[n, d]``."""
        inputs = ((rows if self.single else in_context(rows)) - self.mean) * self.scale
        return np.asarray(inputs @ self.weights + self.offset, np.float32)

    def _error(self, pairs: Pairs) -> float:
        if self.single:  # all at once: there may be thousands
            return float(np.square(self.decode(np.concatenate(pairs.rows)) - np.concatenate(pairs.spectra)).mean())
        differences = (self.decode(r) - s for r, s in zip(pairs.rows, pairs.spectra, strict=True))
        return float(np.mean([np.square(difference).mean() for difference in differences]))


@dataclass(frozen=True)
class Alignment:
    """The rotation, reflection and common scale that bring rows of one space closest to those of another.

    Both are centred by their own means (orthogonal Procrustes; P. Schönemann, Psychometrika 31(1), 1966). The fewer
    pairs, the fewer of the directions are determined.
    """

    source: NDArray[np.float64]
    rotation: NDArray[np.float64]
    target: NDArray[np.float64]

    @classmethod
    def fit(cls, source: FloatArray, target: FloatArray) -> Self:
        """Fit to paired rows ``[n, d]`` and ``[n, e]``; the narrower space is widened by zeros."""
        width = max(source.shape[1], target.shape[1])
        a, b = (np.pad(rows.astype(np.float64), ((0, 0), (0, width - rows.shape[1]))) for rows in (source, target))
        means = a.mean(axis=0), b.mean(axis=0)
        rotation, trace = orthogonal_procrustes(a - means[0], b - means[1])
        size = float(np.square(a - means[0]).sum())
        scaled = rotation * (trace / size if size > 0 else 0.0)
        return cls(means[0], scaled[:, : target.shape[1]], means[1][: target.shape[1]])

    def apply(self, rows: FloatArray) -> FloatArray:
        """Bring rows ``[n, d]`` into the other space ``[n, e]``."""
        widened = np.pad(rows, ((0, 0), (0, len(self.source) - rows.shape[1])))
        return np.asarray((widened - self.source) @ self.rotation + self.target, np.float32)


__all__ = [
    "OWN",
    "FeatureExtractor",
    "ObservedClip",
    "Tags",
    "as_numbers",
    "own_sounds",
    "pairs_of",
    "pooled",
    "tags_of",
    "through",
]

FEWEST_SOUNDS = 20
OWN = -1


@dataclass(frozen=True)
class ObservedClip:
    """One clip with all that the audit knows of it.

    Parameters
    ----------
    client : int
        Whose it is; `OWN` for the adversary's own.
    clip : Clip
    rows : FloatArray
        ``[n, d]``: what is shared of it.
    spectra : FloatArray
        ``[n, m]``: the truth.
    tags : mapping of str to str
        What its owner would keep to itself, by name, as far as it is known.
    part : int
        As of `SharedRows`.
    """

    client: int
    clip: Clip
    rows: FloatArray
    spectra: FloatArray
    tags: Tags
    part: int = 0


def pairs_of(clips: Sequence[ObservedClip]) -> Pairs:
    """Rows and spectra of clips."""
    return Pairs([c.rows for c in clips], [c.spectra for c in clips], [c.clip.machine for c in clips])


def as_numbers(storing: Storing, rows: Rows) -> FloatArray:
    """Return stored rows as numbers; in place of names of centroids, which are none, the centroids."""
    return np.asarray(storing.decode(rows, len(rows)) if isinstance(storing, Product) else rows, np.float32)


def pooled(plan: CodecPlan) -> int:
    """Frames of f_c that one row stands for."""
    return next(frames for frames in count(1) if plan.rows(frames + 1) > 1)


class FeatureExtractor:
    """Gets spectra and embeddings of recordings.

    Parameters
    ----------
    cache : EmbeddingCache
    timing : Timing
        Of the rows that were shared.
    frames : int
        Of f_c in one row.
    storing : Storing
        How the numbers that were shared are stored.
    """

    def __init__(self, cache: EmbeddingCache, timing: Timing, frames: int, storing: Storing | None = None) -> None:
        self.cache, self.timing, self.frames, self._storing = cache, timing, frames, storing or Float32()

    def shared(self, sent: SharedRows, partition: Partition, tags: Tags) -> ObservedClip:
        """Set what a client sent beside the recording that it is of."""
        clip = partition.clips[sent.clip]
        rows = as_numbers(self._storing, sent.rows[: sent.length // self.frames])
        return self._heard(sent.client, clip, rows, tags, sent.part)

    def own(self, clip: Clip, encoder: Encoder, codec: Codec, tags: Tags, client: int = OWN) -> ObservedClip:
        """Push a recording through an encoder and a codec, as a client would."""
        frames = self.cache.encode(encoder, clip)
        rows = as_numbers(codec.storing, codec.encode(frames)[: len(frames) // self.frames])
        return self._heard(client, clip, rows, tags, 0)

    def _heard(self, client: int, clip: Clip, rows: FloatArray, tags: Tags, part: int) -> ObservedClip:
        if not len(rows):
            raise InputError(
                f"{clip.path}: shorter than one whole row of the codec ({self.frames} frames), and the audit looks at "
                "whole rows: use longer recordings, or a codec that pools less"
            )
        spectra = spectra_of_rows(load_waveform(clip, SAMPLE_RATE), self.timing, len(rows))
        return ObservedClip(client, clip, rows[: len(spectra)], spectra, tags, part)


def through(clips: Sequence[ObservedClip], ear: FeatureExtractor, encoder: Encoder, codec: Codec) -> list[ObservedClip]:
    """Return what the same clips would be under another encoder and codec."""
    moved = []
    for clip in clips:
        frames = ear.cache.encode(encoder, clip.clip)
        moved.append(replace(clip, rows=as_numbers(codec.storing, codec.encode(frames)[: len(clip.spectra)])))
    return moved


def own_sounds(folder: Path, victims: set[str], most: int) -> list[Clip]:
    """Pick some of a folder's recordings at random, none of which a victim has.

    Parameters
    ----------
    victims : set of str
        SHA-256 of the victims' recordings.
    most : int

    Raises
    ------
    InputError
        Too few are left.
    """
    clips = sorted((c for c in find_clips(folder) if c.sha256 not in victims), key=lambda clip: clip.sha256)[:most]
    if len(clips) < FEWEST_SOUNDS:
        raise InputError(
            f"{folder}: {len(clips)} recordings that no client of the run has, and an adversary needs "
            f"{FEWEST_SOUNDS}: name a folder of other recordings with --data"
        )
    return clips
