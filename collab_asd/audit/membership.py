"""Membership inference: whether a recording was among the clips that f_s was trained on.

Adversary: one who holds the recording in question. Members are the client's training clips; the others are its
calibration clips, which are a random part of the same normal recordings and which f_s has not seen. Measure: area
under the ROC curve; chance is 0.5. It says how well the attack tells members apart, not how sure it is of one of them.

Source: R. Shokri et al., "Membership inference attacks against machine learning models", IEEE S&P 2017; a threshold on
how well a model knows a clip: S. Yeom et al., "Privacy risk in machine learning", CSF 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch.nn import functional as F

from collab_asd.audit.inversion import as_spectra
from collab_asd.audit.measures import Finding, auc_with_interval, likeness
from collab_asd.audit.observations import ObservedClip
from collab_asd.classifier.model import IdClassifier
from collab_asd.core.types import FloatArray, ScoreArray

ATTACK = "membership inference"
FEWEST = 20  # members, and others, below which no figure is given


def too_few(others: int) -> str:
    """Say what is missing where too few recordings are not members."""
    return (
        f"membership inference: {others} normal recordings that f_s was not trained on, and {FEWEST} are needed; run "
        "with more clips, or a larger calibration"
    )


def by_distance(
    members: Sequence[ObservedClip], others: Sequence[ObservedClip], sent: Sequence[ObservedClip]
) -> Finding:
    """Push the recording through f_c and the codec, and look for its like among what is shared.

    A member's rows are there as they are: exact embeddings, and whatever a codec without randomness makes of them, give
    members away. `members` and `others` are as the adversary gets them from the recordings, `sent` is what was shared.
    """
    shared = [_flat(clip.rows) for clip in sent]
    scores = [np.array([_nearest(_flat(clip.rows), shared) for clip in side]) for side in (members, others)]
    return finding("knows f_c, looks it up", *scores)


def by_reconstruction(
    knowledge: str, estimates: Sequence[FloatArray], members: Sequence[ObservedClip], others: Sequence[ObservedClip]
) -> Finding:
    """Look for the recording's like among reconstructions ``[n, m]`` of what its client shared (`retrieval`)."""
    scores: list[list[ScoreArray]] = [[], []]
    for client in sorted({clip.client for clip in members}):
        drawn = [as_spectra(e) for e, clip in zip(estimates, members, strict=True) if clip.client == client]
        sides = [[as_spectra(clip.spectra) for clip in side if clip.client == client] for side in (members, others)]
        if sides[1]:
            alike = likeness([*sides[0], *sides[1]], drawn).max(axis=1)
            scores[0].append(alike[: len(sides[0])])
            scores[1].append(alike[len(sides[0]) :])
    return finding(knowledge, *(np.concatenate(side) for side in scores))


def by_classifier(
    classifiers: Mapping[int, IdClassifier],
    members: Sequence[tuple[int, int, FloatArray]],
    others: Sequence[tuple[int, int, FloatArray]],
) -> Finding:
    """Ask how sure f_s is of the recording's machine, as a client can under Algorithm 1: it holds f_c and f_s.

    Parameters
    ----------
    classifiers : mapping of int to IdClassifier
        By group.
    members, others : sequence of (int, int, FloatArray)
        Group, class and frames ``[T, D]`` of each recording, as f_s would see them.
    """
    sides = [np.array([certainty(classifiers[g], c, frames) for g, c, frames in side]) for side in (members, others)]
    return finding("a client: f_c and f_s", *sides)


def certainty(classifier: IdClassifier, machine_class: int, frames: FloatArray) -> float:
    """Mean cosine of a clip's windows with the direction of its class."""
    labels = classifier.settings.labels
    directions = F.normalize(classifier.directions, dim=0).cpu().numpy()
    place = labels.index(machine_class) if labels else machine_class
    return float((classifier.embed(frames) @ directions[:, place]).mean())


def finding(knowledge: str, members: ScoreArray, others: ScoreArray) -> Finding:
    """Judge scores by which an attack tells members from others; the higher, the likelier a member."""
    found = auc_with_interval(members, others)
    return Finding(ATTACK, knowledge, "AUC", found.value, found.low, found.high, 0.5, len(members) + len(others))


def _flat(rows: FloatArray) -> FloatArray:
    return rows.ravel()


def _nearest(clip: FloatArray, shared: Sequence[FloatArray]) -> float:
    """Minus the distance to the nearest shared clip, as far as both go."""
    distances = []
    for other in shared:
        length = min(len(clip), len(other))
        distances.append(float(np.linalg.norm(clip[:length] - other[:length])))
    return -min(distances)
