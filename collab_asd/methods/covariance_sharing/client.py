"""The client's half of covariance sharing: add to the sums, then score with its own covariance and the others'.

Each of its machines adds its own part; a machine takes that out of the sums again, and what is left is the others'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, RecordDict

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.progress import step
from collab_asd.core.types import FloatArray, ScoreArray
from collab_asd.detection.detector import Detector
from collab_asd.detection.scorers import OWN_SPECTRA
from collab_asd.detection.second_order import (
    FEATURES_DIGEST,
    TRIANGLE,
    ClipSpectrum,
    Others,
    others_from_arrays,
    others_to_arrays,
    squares_of,
    standard_deviations,
    whole_clips,
)
from collab_asd.detection.second_order import scatter as scatter_of
from collab_asd.federation.client_data import ClientData, LocalMachine, recording_ranks
from collab_asd.federation.messages import groups_of_sums, put_sums, read_sums
from collab_asd.federation.scoring import MachineScores, score_with
from collab_asd.methods.covariance_sharing.sums import (
    MOST_CLIPS,
    SAID_OF_ALL,
    SQUARES_BITS,
    Part,
    read_part,
    to_fixed,
    total,
)
from collab_asd.methods.embedding_sharing.algorithm import own_spaces
from collab_asd.methods.embedding_sharing.client import is_misfit


@dataclass(frozen=True, eq=False)
class Points:
    """One machine's normal clips in the order of recording: their positions, and features ``[n, 256]``."""

    machine: LocalMachine
    clips: tuple[int, ...]
    features: FloatArray

    @property
    def shared(self) -> ScoreArray:
        """Features of the clips by which the machine contributes: a thousand at most, evenly spaced."""
        n = len(self.features)
        chosen = np.linspace(0, n - 1, min(n, MOST_CLIPS)).round().astype(int)
        return np.asarray(self.features[chosen], np.float64)

    def variances(self) -> Part:
        """Return what it adds in the first round."""
        return Part(1, len(self.shared) - 1, to_fixed(squares_of(self.shared), SQUARES_BITS))

    def scatter(self, known: Part, is_included: bool, bits: int) -> Part:
        """Return what it adds in the second round, given the first's sums, which it may be part of."""
        own = self.variances()
        others = known - own if is_included else known
        given = (others.dof, others.squares / (2.0**SQUARES_BITS * others.dof)) if others.dof > 0 else (0, None)
        deviations = standard_deviations(squares_of(self.shared), own.dof, *given)
        standardized = scatter_of(self.shared / deviations)
        return replace(own, scatter=to_fixed(standardized[TRIANGLE], bits))


@lru_cache(maxsize=32)
def points_of(client: ClientData) -> tuple[Points, ...]:
    """Describe the normal clips of each of the client's machines."""
    described, all_clips, summarize = [], client.partition.clips, ClipSpectrum()
    for machine in client.machines():
        ranks = recording_ranks([all_clips[i] for i in machine.normal])
        clips = tuple(machine.normal[i] for i in np.argsort(ranks))
        with step(f"client {client.partition.client}: spectra of recordings", len(clips)) as advance:
            features = []
            for i in clips:
                features.append(client.cache.encode(summarize, all_clips[i]))
                advance()
        described.append(Points(machine, clips, whole_clips(features)))
    return tuple(described)


def variances(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Tell degrees of freedom and sums of squares of each group, and what the features are."""
    digest = client.clips_digest(i for points in points_of(client) for i in points.clips)
    facts: dict[str, Any] = {"features": FEATURES_DIGEST, "clips": digest}
    reply = RecordDict({"client": ConfigRecord(facts)})
    for group, members in _by_group(client).items():
        part = total(points.variances() for points in members)
        put_sums(reply, group, part.facts, part.arrays)
    return reply


def scatter(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Add up the standardised scatter matrices of each group that is asked for."""
    reply, members = RecordDict(), _by_group(client)
    for group in groups_of_sums(content):
        facts, arrays = read_sums(content, group)
        known = read_part(facts, arrays, SAID_OF_ALL)
        if group not in members:
            raise InputError(f"sums of group {group}: refused, this client has no machine of it")
        part = total(_scatters(members[group], known, facts).values())
        put_sums(reply, group, part.facts, part.arrays)
    return reply


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Score the test clips of each machine with its own covariance and the others'."""
    scores = []
    for group, members in _by_group(client).items():
        facts, arrays = read_sums(content, group)
        known = read_part(facts, arrays, SAID_OF_ALL)
        for points, own in _scatters(members, known, facts).items():
            others, machine = _others(known, own, facts), points.machine
            frames = client.machine_frames(machine, with_spectra=True)
            detector = Detector(own_spaces(frames, OWN_SPECTRA, others))
            misfit = is_misfit(client, machine, frames, OWN_SPECTRA, detector)
            scores.append(score_with(detector, frames, normal=machine.normal, test=machine.test, misfit=misfit))
    return scores


def _others(known: Part, own: Part, facts: Mapping[str, Any]) -> Others | None:
    """Take a machine's own part out of the sums. Those of squares may be an earlier run's, without it."""
    squares, dof = (known.squares, facts["squares-dof"])
    if facts["is-included"]:
        squares, dof = squares - own.squares, dof - own.dof
    if dof <= 0 or known.dof <= own.dof:
        return None
    bits = facts["bits"]
    sums = (known - own).to_sums(bits)
    others = Others(sums.dof, squares / (2.0**SQUARES_BITS * dof), sums.scatter / sums.dof)
    return others_from_arrays(others_to_arrays(others))  # as precise as a saved detector


def _scatters(members: list[Points], known: Part, facts: Mapping[str, Any]) -> dict[Points, Part]:
    before = replace(known, dof=facts["squares-dof"])
    return {points: points.scatter(before, facts["is-included"], facts["bits"]) for points in members}


def _by_group(client: ClientData) -> dict[int, list[Points]]:
    described = points_of(client)
    groups = sorted({points.machine.group for points in described})
    return {group: [points for points in described if points.machine.group == group] for group in groups}
