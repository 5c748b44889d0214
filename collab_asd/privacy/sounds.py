"""The two sides of an audit: what the victims sent, beside the truth of it, and the adversary's own sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from collab_asd.codecs import Codec, CodecPlan
from collab_asd.codecs.stages import Float32, Product, Rows, Storing
from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.data.tags import Tags, tags_of
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.errors import InputError
from collab_asd.interfaces import Clip, Encoder, FloatArray, Partition
from collab_asd.privacy.decoder import Pairs
from collab_asd.privacy.spectra import SAMPLE_RATE, Timing, spectra_of_rows
from collab_asd.privacy.view import SharedRows

__all__ = ["OWN", "Ear", "Heard", "Tags", "as_numbers", "own_sounds", "pairs_of", "pooled", "tags_of", "through"]

FEWEST_SOUNDS = 20
OWN = -1


@dataclass(frozen=True)
class Heard:
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


def pairs_of(clips: Sequence[Heard]) -> Pairs:
    """Rows and spectra of clips."""
    return Pairs([c.rows for c in clips], [c.spectra for c in clips], [c.clip.machine for c in clips])


def as_numbers(storing: Storing, rows: Rows) -> FloatArray:
    """Return stored rows as numbers; in place of names of centroids, which are none, the centroids."""
    return np.asarray(storing.decode(rows, len(rows)) if isinstance(storing, Product) else rows, np.float32)


def pooled(plan: CodecPlan) -> int:
    """Frames of f_c that one row stands for."""
    return next(frames for frames in count(1) if plan.rows(frames + 1) > 1)


class Ear:
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

    def shared(self, sent: SharedRows, partition: Partition, tags: Tags) -> Heard:
        """Set what a client sent beside the recording that it is of."""
        clip = partition.clips[sent.clip]
        rows = as_numbers(self._storing, sent.rows[: sent.length // self.frames])
        return self._heard(sent.client, clip, rows, tags, sent.part)

    def own(self, clip: Clip, encoder: Encoder, codec: Codec, tags: Tags, client: int = OWN) -> Heard:
        """Push a recording through an encoder and a codec, as a client would."""
        frames = self.cache.encode(encoder, clip)
        rows = as_numbers(codec.storing, codec.encode(frames)[: len(frames) // self.frames])
        return self._heard(client, clip, rows, tags, 0)

    def _heard(self, client: int, clip: Clip, rows: FloatArray, tags: Tags, part: int) -> Heard:
        if not len(rows):
            raise InputError(
                f"{clip.path}: shorter than one whole row of the codec ({self.frames} frames), and the audit looks at "
                "whole rows: use longer recordings, or a codec that pools less"
            )
        spectra = spectra_of_rows(load_waveform(clip, SAMPLE_RATE), self.timing, len(rows))
        return Heard(client, clip, rows[: len(spectra)], spectra, tags, part)


def through(clips: Sequence[Heard], ear: Ear, encoder: Encoder, codec: Codec) -> list[Heard]:
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
