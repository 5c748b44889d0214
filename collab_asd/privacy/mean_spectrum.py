"""What a client's machines sound like on average, from the mean of its frames, which it tells once.

Adversary: the server, or whoever reads its messages. Knowledge: the sums over frames that standardise the input of f_s
(methods whose clients train it) or that a codec is fitted to (embedding sharing), and a level of `knowledge`. Goal: the
mean log-mel spectrum of each client's training clips. Measures as of `retrieval`; *re-identified* says which of the N
clients it is, and chance is 1/N. There is one estimate per client, so intervals are wide.

Source: ours; that sums over one client's data tell of that data is the ground of secure aggregation (K. Bonawitz et
al., "Practical secure aggregation for privacy-preserving machine learning", CCS 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from collab_asd.data.audio import load_waveform
from collab_asd.interfaces import FloatArray
from collab_asd.privacy import retrieval
from collab_asd.privacy.attacks import Attack, Case
from collab_asd.privacy.mean_frames import levels, mean_spectrum, whole_clips
from collab_asd.privacy.measures import Finding
from collab_asd.privacy.outcome import Audit, Scope
from collab_asd.privacy.run import AuditedRun
from collab_asd.privacy.sounds import Heard
from collab_asd.privacy.spectra import SAMPLE_RATE, spectra_of_rows
from collab_asd.privacy.view import DESCRIBE, STATISTICS, View

ATTACK = "a client's mean spectrum"
FEWEST = 2  # clients
LONGEST = 1_000_000  # rows: all of a clip


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
    run: AuditedRun, own: Sequence[Heard], means: Mapping[int, FloatArray], scope: Scope, name: str = ATTACK
) -> Iterator[Finding]:
    """Estimate the mean spectrum of each client's normal clips.

    Parameters
    ----------
    own : sequence of Heard
        The adversary's own sounds.
    means : mapping of int to FloatArray
        Mean frame ``[D]`` by client.
    name : str
        What the findings are named.
    """
    victims = [_victim(run, client, mean, scope.per_client) for client, mean in sorted(means.items())]
    for level in levels(run, scope, whole_clips(run, own), lambda encoder: victims):
        yield from retrieval.judge(level, retrieval.reconstruct(level), name, groups=[0] * len(victims))


def _victim(run: AuditedRun, client: int, mean: FloatArray, most: int) -> Heard:
    """Set what a client told beside the mean spectrum of some of its normal clips."""
    partition, timing = run.partitions[client], run.ear.timing
    clips = [partition.clips[i] for i in partition.indices("train")[:most]]
    spectra = [mean_spectrum(spectra_of_rows(load_waveform(c, SAMPLE_RATE), timing, LONGEST)) for c in clips]
    return Heard(client, clips[0], mean[np.newaxis], np.mean(spectra, axis=0, dtype=np.float32), {})
