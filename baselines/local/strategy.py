"""Methods in which nothing is shared: the clients are only asked for their scores."""

from __future__ import annotations

from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.scoring import ClientScores, ScoreGathering
from collab_asd.federation.stopwatch import Stopwatch

SCORER_OF = {"local-knn": "knn", "local-mahalanobis": "mahalanobis"}
"""Methods of which this is the server's side, and how their clients score."""


class LocalOnly(ScoreGathering):
    """Each client fits and scores alone."""

    shares = False

    def __init__(self, encoder: str) -> None:
        self.watch = Stopwatch()
        self.encoder_note = f"{encoder}; nothing was sent"

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Ask every client for its scores; the question holds nothing else."""
        with self.watch("embed and score"):
            return self.conduct(grid)
