"""What a client's machines sound like on average, from the mean of its frames, which it tells once.

Adversary: the server, or whoever reads its messages. Knowledge: the sums over frames that standardise the input of f_s
(methods whose clients train it) or that a codec is fitted to (embedding sharing), and a level of `knowledge`. Goal: the
mean log-mel spectrum of each client's training clips. Measures as of `retrieval`; *re-identified* says which of the N
clients it is, and chance is 1/N. There is one estimate per client, so intervals are wide.

Source: ours; that sums over one client's data tell of that data is the ground of secure aggregation (K. Bonawitz et
al., "Practical secure aggregation for privacy-preserving machine learning", CCS 2017).

Mean frames: what is left of a stretch of sound where only the mean over its frames of f_c was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from collab_asd.audit import inversion as retrieval
from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit, AuditConfig, guessed
from collab_asd.audit.inversion import as_spectra
from collab_asd.audit.measures import Finding
from collab_asd.audit.observations import ObservedClip
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.spectra import SAMPLE_RATE, spectra_of_rows
from collab_asd.audit.threat_models import ARCHITECTURE, KNOWS, WRONG, ThreatModel, by_band, shuffled
from collab_asd.audit.view import DESCRIBE, STATISTICS, View
from collab_asd.core.types import Encoder, FloatArray
from collab_asd.data.audio import load_waveform
from collab_asd.wire.codecs import parse

PLAIN = parse("fp32").fit([])

Under = Callable[[Encoder], Sequence[ObservedClip]]
"""Clips with a single row each: a mean frame ``[1, D]`` of an encoder, and the mean spectrum ``[1, bands]``."""
ATTACK = "a client's mean spectrum"
FEWEST = 2  # clients
LONGEST = 1_000_000  # rows: all of a clip


def mean_spectrum(spectra: FloatArray) -> FloatArray:
    """Mean of log-mel spectra in dB, rows of several ``[n, m]`` -> ``[1, bands]``."""
    return np.asarray(as_spectra(spectra).mean(axis=0, keepdims=True), np.float32)


def whole_clips(run: AuditedRun, clips: Sequence[ObservedClip]) -> Under:
    """Return what takes clips to their mean frame under an encoder, and their mean spectrum."""

    def under(encoder: Encoder) -> list[ObservedClip]:
        means = (run.ear.cache.encode(encoder, clip.clip).mean(axis=0, keepdims=True) for clip in clips)
        return [replace(c, rows=m, spectra=mean_spectrum(c.spectra)) for c, m in zip(clips, means, strict=True)]

    return under


def levels(run: AuditedRun, scope: AuditConfig, own: Under, attacked: Under) -> Iterator[ThreatModel]:
    """Levels of knowledge of an adversary that holds mean frames.

    Parameters
    ----------
    own : callable
        The adversary's own sounds under an encoder.
    attacked : callable
        What the adversary takes for the victims' mean frames if it believes in an encoder.
    """
    known = ThreatModel(KNOWS, own(run.encoder), attacked(run.encoder))
    yield known
    if run.key_bands:
        bands, guesses = run.key_bands, [own(guessed(run, key)) for key in range(scope.keys)]
        believed = attacked(guessed(run, 0))
        yield ThreatModel(WRONG, guesses[0], believed)
        learnt = [clip for clips in guesses for clip in by_band(clips, PLAIN, bands)]
        yield ThreatModel(ARCHITECTURE, learnt, by_band(believed, PLAIN, bands))
    yield shuffled(known)


def told_means(view: View) -> dict[int, FloatArray]:
    """Return the mean frame ``[D]`` of each client that told of it, over all of its machines."""
    means = {}
    for message in view.of("up", STATISTICS):
        totals = [a for name, a in message.arrays.items() if name.endswith("/sum")]
        count = sum(float(a) for name, a in message.arrays.items() if name.endswith("/count"))
        if totals:
            means[message.client] = np.asarray(np.sum(totals, axis=0) / count, np.float32)
    for message in view.of("up", DESCRIBE):
        if statistics := message.part("statistics"):
            means[message.client] = statistics["mean"].astype(np.float32)
    return means


def attack_told_means(case: Case, found: Audit) -> None:
    """Attack what clients told of their frames, if they did."""
    means = told_means(case.run.view)
    if len(means) >= FEWEST:
        found.findings += attack(case.run, case.own, means, case.scope)


MEAN_SPECTRUM = Attack(("embeddings", "recordings", "statistics", "weights", "activations"), attack_told_means)


def attack(
    run: AuditedRun,
    own: Sequence[ObservedClip],
    means: Mapping[int, FloatArray],
    scope: AuditConfig,
    name: str = ATTACK,
) -> Iterator[Finding]:
    """Estimate the mean spectrum of each client's normal clips.

    Parameters
    ----------
    own : sequence of ObservedClip
        The adversary's own sounds.
    means : mapping of int to FloatArray
        Mean frame ``[D]`` by client.
    name : str
        What the findings are named.
    """
    victims = [_victim(run, client, mean, scope.per_client) for client, mean in sorted(means.items())]
    for level in levels(run, scope, whole_clips(run, own), lambda encoder: victims):
        yield from retrieval.judge(level, retrieval.reconstruct(level), name, groups=[0] * len(victims))


def _victim(run: AuditedRun, client: int, mean: FloatArray, most: int) -> ObservedClip:
    """Set what a client told beside the mean spectrum of some of its normal clips."""
    partition, timing = run.partitions[client], run.ear.timing
    clips = [partition.clips[i] for i in partition.indices("train")[:most]]
    spectra = [mean_spectrum(spectra_of_rows(load_waveform(c, SAMPLE_RATE), timing, LONGEST)) for c in clips]
    return ObservedClip(client, clips[0], mean[np.newaxis], np.mean(spectra, axis=0, dtype=np.float32), {})
