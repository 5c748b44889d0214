"""Mean frames: what is left of a stretch of sound where only the mean over its frames of f_c was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from collab_asd.codecs import parse
from collab_asd.interfaces import Encoder, FloatArray
from collab_asd.privacy.adversary import guessed
from collab_asd.privacy.knowledge import ARCHITECTURE, KNOWS, WRONG, Level, by_band, shuffled
from collab_asd.privacy.outcome import Scope
from collab_asd.privacy.retrieval import as_spectra
from collab_asd.privacy.run import AuditedRun
from collab_asd.privacy.sounds import Heard

PLAIN = parse("fp32").fit([])

Under = Callable[[Encoder], Sequence[Heard]]
"""Clips with a single row each: a mean frame ``[1, D]`` of an encoder, and the mean spectrum ``[1, bands]``."""


def mean_spectrum(spectra: FloatArray) -> FloatArray:
    """Mean of log-mel spectra in dB, rows of several ``[n, m]`` -> ``[1, bands]``."""
    return np.asarray(as_spectra(spectra).mean(axis=0, keepdims=True), np.float32)


def whole_clips(run: AuditedRun, clips: Sequence[Heard]) -> Under:
    """Return what takes clips to their mean frame under an encoder, and their mean spectrum."""

    def under(encoder: Encoder) -> list[Heard]:
        means = (run.ear.cache.encode(encoder, clip.clip).mean(axis=0, keepdims=True) for clip in clips)
        return [replace(c, rows=m, spectra=mean_spectrum(c.spectra)) for c, m in zip(clips, means, strict=True)]

    return under


def levels(run: AuditedRun, scope: Scope, own: Under, attacked: Under) -> Iterator[Level]:
    """Levels of knowledge of an adversary that holds mean frames.

    Parameters
    ----------
    own : callable
        The adversary's own sounds under an encoder.
    attacked : callable
        What the adversary takes for the victims' mean frames if it believes in an encoder.
    """
    known = Level(KNOWS, own(run.encoder), attacked(run.encoder))
    yield known
    if run.key_bands:
        bands, guesses = run.key_bands, [own(guessed(run, key)) for key in range(scope.keys)]
        believed = attacked(guessed(run, 0))
        yield Level(WRONG, guesses[0], believed)
        learnt = [clip for clips in guesses for clip in by_band(clips, PLAIN, bands)]
        yield Level(ARCHITECTURE, learnt, by_band(believed, PLAIN, bands))
    yield shuffled(known)
