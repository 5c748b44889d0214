"""Methods in which nothing is shared: the clients are only asked for their scores."""

from __future__ import annotations

from collab_asd.config import RunConfig
from collab_asd.core.runtime import Stopwatch
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.scoring import ClientScores, ScoreGathering


class LocalOnly(ScoreGathering):
    """Each client fits and scores alone."""

    def __init__(self, config: RunConfig) -> None:
        self.watch = Stopwatch()
        self.encoder_note = f"{config.encoder}; nothing was sent"

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Ask every client for its scores; the question holds nothing else."""
        with self.watch("embed and score"):
            return self.conduct(grid)
