"""Methods in which nothing is shared: clients score in the space of the encoder, and the server gathers the scores.

The same frames and the same scorers as embedding sharing, without the ID classifier. The paper has no such comparison:
what it sets against sharing are networks that each client trains alone (`baselines.local_networks`).
``local-spectra`` scores by log-mel spectra, whatever the encoder, as the fusions of all methods do beside what is
shared. It and ``local-mahalanobis`` are the strongest local detectors that we know of, and what sharing has to beat.
"""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import RecordDict

from collab_asd.config import RunConfig
from collab_asd.core.runtime import Stopwatch
from collab_asd.core.types import MachineFrames
from collab_asd.detection.detector import Detector
from collab_asd.detection.scorers import OWN_SPECTRA, ScorerSettings
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.scoring import ClientScores, MachineScores, ScoreGathering, score_with
from collab_asd.methods import METHODS
from collab_asd.methods.embedding_sharing.algorithm import fit_local_detector, own_spaces


class LocalOnly(ScoreGathering):
    """Each client fits and scores alone: who fails harms nobody else."""

    tolerates_exclusion = True

    def __init__(self, config: RunConfig) -> None:
        self.watch = Stopwatch()
        self.encoder_note = f"{config.encoder}; nothing was sent"

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Ask every client for its scores; the question holds nothing else."""
        with self.watch("embed and score"):
            return self.conduct(grid)


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Score each machine's test clips by how far their mean frames lie from those of the normals."""
    scorer = ScorerSettings(METHODS.find(config.method).scorer, metric=config.metric)
    return _scores(client, lambda frames: fit_local_detector(frames, scorer))


def score_spectra(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Score each machine's test clips by the covariance of its own spectra: covariance sharing with nobody else."""
    return _scores(client, lambda frames: Detector(own_spaces(frames, OWN_SPECTRA)), with_spectra=True)


def _scores(
    client: ClientData, fit: Callable[[MachineFrames], Detector], with_spectra: bool = False
) -> list[MachineScores]:
    found = []
    for machine in client.machines():
        frames = client.machine_frames(machine, with_spectra=with_spectra)
        found.append(score_with(fit(frames), frames, normal=machine.normal, test=machine.test))
    return found
