"""Membership inference from a covariance: whether a recording is among the clips whose scatter matrix was shared.

Adversary: who holds recordings of the machine, and sees one client's matrix (the server; or who sees two sums between
which one client joined or left), or the sum over a group alone (every client). Knowledge: the features, and the squares
by which they are standardised. The difference of two clips that are in a matrix lies in its span, and close to its
centre: ``(x - y)^T A^-1 (x - y)`` is at most 2 for them, and larger for others. A recording is judged by the smallest
value with any other recording that the adversary holds. Measure: area under the ROC curve, of a client's training clips
against its normal test clips; chance is 0.5.

Source: ours; that sums over one client's data tell of that data is the ground of secure aggregation (K. Bonawitz et
al., "Practical secure aggregation for privacy-preserving machine learning", CCS 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist

from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit, AuditConfig
from collab_asd.audit.membership import FEWEST, finding, too_few
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.view import SCORE, Recorded
from collab_asd.core.types import NORMAL, ScoreArray
from collab_asd.detection.second_order import ClipSpectrum, standard_deviations, whole_clips
from collab_asd.federation.client_data import local_machines
from collab_asd.methods.covariance_sharing.sums import SAID_OF_ALL, SQUARES_BITS, Part, read_part

SCATTER = "train.scatter"
KNOWLEDGE = {"one": "one client's matrix", "sum": "the sum over a group"}


def attack_matrices(case: Case, found: Audit) -> None:
    """Judge the clips of each client by its own matrix, and by the sum that all clients get."""
    run = case.run
    if not any(run.view.of("up", SCATTER)):
        return
    scores: dict[str, list[list[ScoreArray]]] = {which: [[], []] for which in KNOWLEDGE}
    for which, members, others in _judged(run, case.scope):
        scores[which][0].append(members)
        scores[which][1].append(others)
    for which, knowledge in KNOWLEDGE.items():
        members, others = (np.concatenate(side) if side else np.empty(0) for side in scores[which])
        if min(len(members), len(others)) < FEWEST:
            found.missing.append(too_few(len(others)))
            return
        found.findings.append(finding(knowledge, members, others))


COVARIANCES = Attack(("statistics",), attack_matrices)


def _judged(run: AuditedRun, scope: AuditConfig) -> Iterator[tuple[str, ScoreArray, ScoreArray]]:
    """Score members and others of each client that holds one machine of a group, once by each matrix."""
    summarize = ClipSpectrum()
    asked = {m.client: m for m in run.view.of("down", SCATTER)}
    told = {m.client: m for m in run.view.of("down", SCORE)}
    for message in run.view.of("up", SCATTER):
        partition = run.partitions[message.client]
        machines = local_machines(partition, run.config.calibration, run.config.train_clips, run.config.seed)
        for machine in machines:
            if len([m for m in machines if m.group == machine.group]) > 1:
                continue  # its client's matrix is a sum over machines
            known, facts = _part(asked[message.client], machine.group)
            own, summed = _part(message, machine.group)[0], _part(told[message.client], machine.group)[0]
            clips = partition.clips
            held = [*machine.normal][: scope.per_client], [i for i in machine.test if clips[i].label == NORMAL]
            frames = [[run.ear.cache.encode(summarize, clips[i]) for i in side[: scope.per_client]] for side in held]
            features = whole_clips([f for side in frames for f in side]).astype(np.float64)
            others = facts["squares-dof"] - own.dof, known.squares - own.squares
            given = (others[0], others[1] * 2.0**-SQUARES_BITS / others[0]) if others[0] else (0, None)
            squares = np.asarray(own.squares * 2.0**-SQUARES_BITS, np.float64)
            deviations = standard_deviations(squares, own.dof, *given)
            for which, part in (("one", own), ("sum", summed)):
                judged = nearness(part, facts["bits"], features / deviations)
                yield which, judged[: len(frames[0])], judged[len(frames[0]) :]


def nearness(part: Part, bits: int, points: ScoreArray) -> ScoreArray:
    """Judge standardised features ``[n, d]`` of recordings by a matrix -> ``[n]``; the higher, the likelier in it.

    Directions that the matrix does not span count as much as its rounding lets them.
    """
    d = points.shape[1]
    matrix = part.to_sums(bits).scatter + d * part.machines * 2.0**-bits * np.eye(d)
    whitened = solve_triangular(np.linalg.cholesky(matrix), points.T, lower=True).T
    distances = cdist(whitened, whitened)
    np.fill_diagonal(distances, np.inf)
    return np.asarray(-distances.min(axis=1))


def _part(message: Recorded, group: int) -> tuple[Part, Mapping[str, Any]]:
    facts = message.records[f"facts/{group}"]
    said = SAID_OF_ALL if SAID_OF_ALL.keys() <= facts.keys() else {}  # by the server; clients say no more than theirs
    return read_part(facts, message.part(f"sums/{group}"), said), facts
