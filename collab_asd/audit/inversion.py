"""Raw-data retrieval: from what was shared of a clip back to its sound.

Adversary: the server, or whoever reads its messages. Knowledge: what was shared, and a level of `knowledge`. Goal: the
log-mel spectra of each clip. Measures and chance levels, over the attacked clips:

- log-spectral *distance* in dB, less is better; against that of the best guess without what was shared, the mean
  spectrum of the sounds that the adversary learns from.
- *correlation* of estimate and truth, both relative to the mean of the client's clips on their own side; a constant
  guess, and one that knows the machine and nothing of the clip, has 0.
- *re-identified*: how often the estimate points to the right one of the N recordings of its client; chance is 1/N.

Source: K. Dohi and Y. Kawaguchi, section IV-C, name the attack; decoders from embeddings are in A. Dosovitskiy and
T. Brox, "Inverting visual representations with convolutional networks", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from collab_asd.audit.measures import (
    Estimate,
    Finding,
    likeness,
    log_spectral_distance,
    mean_with_interval,
    rate_with_interval,
    reidentified,
)
from collab_asd.audit.observations import ObservedClip, RidgeDecoder, pairs_of
from collab_asd.audit.spectra import MEL_BANDS
from collab_asd.audit.threat_models import ThreatModel
from collab_asd.core.types import FloatArray

ATTACK = "raw-data retrieval"
DISTANCE = "distance, dB"


def reconstruct(level: ThreatModel) -> list[FloatArray]:
    """Estimate the spectra ``[n, m]`` of each attacked clip."""
    decoder = RidgeDecoder.fit(pairs_of(level.learnt_from))
    return [decoder.decode(clip.rows) for clip in level.attacked]


def judge(
    level: ThreatModel, estimates: Sequence[FloatArray], attack: str = ATTACK, groups: Sequence[int] | None = None
) -> list[Finding]:
    """Compare estimates ``[n, m]`` with the truth.

    Parameters
    ----------
    level : ThreatModel
    estimates : sequence of FloatArray
    attack : str
        What the findings are named.
    groups : sequence of int, optional
        Among which clips each one is to be recognised, by clip; those of the same client by default.
    """
    attacked, guess = level.attacked, mean_spectrum(level.learnt_from)
    drawn, true = [as_spectra(e) for e in estimates], [as_spectra(clip.spectra) for clip in attacked]
    both = list(zip(drawn, true, strict=True))
    constant = float(np.mean([log_spectral_distance(np.broadcast_to(guess, t.shape), t) for t in true]))
    distance = mean_with_interval(np.array([log_spectral_distance(e, t) for e, t in both]))
    clients = list(_by_client([clip.client for clip in attacked] if groups is None else groups))
    alike = [likeness([drawn[i] for i in group], [true[i] for i in group]) for group in clients]
    own = np.concatenate([np.diag(table) for table in alike]).astype(np.float64)
    hits = np.concatenate([reidentified(table) for table in alike])

    def finding(measure: str, found: Estimate, chance: float) -> Finding:
        return Finding(attack, level.name, measure, found.value, found.low, found.high, chance, len(attacked))

    return [
        finding(DISTANCE, distance, constant),
        finding("correlation", mean_with_interval(own), 0.0),
        finding("re-identified", rate_with_interval(hits), len(clients) / len(attacked)),
    ]


def mean_spectrum(clips: Sequence[ObservedClip]) -> FloatArray:
    """Mean spectrum ``[bands]`` of clips."""
    return np.asarray(np.concatenate([as_spectra(clip.spectra) for clip in clips]).mean(axis=0), np.float32)


def as_spectra(rows: FloatArray) -> FloatArray:
    """Rows of several spectra each ``[n, m]`` -> spectra, one after the other ``[spectra, bands]``."""
    return rows.reshape(-1, MEL_BANDS)


def _by_client(clients: Sequence[int]) -> Iterator[list[int]]:
    for client in sorted(set(clients)):
        yield [i for i, other in enumerate(clients) if other == client]
