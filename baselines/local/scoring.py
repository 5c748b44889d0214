"""Local scoring in the space of f_c: what a client can do without the others.

The same frames and the same scorers as embedding sharing, without f_s. The paper has no such comparison: what it sets
against sharing are networks that each client trains alone (`baselines.local_networks`). ``local-mahalanobis`` is the
strongest local detector that we know of, and what sharing has to beat.
"""

from __future__ import annotations

from flwr.app import RecordDict

from collab_asd.config import RunConfig
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.federation.client_data import ClientData, LocalMachine
from collab_asd.federation.scoring import MachineScores, score_with
from collab_asd.methods import METHODS
from collab_asd.methods.embedding_sharing.algorithm import fit_local_detector


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Score each machine's test clips by how far their mean frames lie from those of the normals."""
    scorer = ScorerSettings(METHODS.find(config.method).scorer, metric=config.metric)
    return [_score_machine(client, machine, scorer) for machine in client.machines()]


def _score_machine(client: ClientData, machine: LocalMachine, scorer: ScorerSettings) -> MachineScores:
    frames = client.machine_frames(machine)
    detector = fit_local_detector(frames, scorer)
    return score_with(detector, frames, normal=machine.normal, test=machine.test)
