"""A strategy in which nothing is shared: the clients are only asked for their scores."""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.scoring import ClientScores, ScoreGathering
from collab_asd.federation.stopwatch import Stopwatch

SCORER_OF = {"local-knn": "knn", "local-mahalanobis": "mahalanobis"}
"""Methods of which this is the server's side, and how their clients score."""


class LocalOnly(ScoreGathering, Strategy):
    """Each client fits and scores alone."""

    shares = False

    def __init__(self) -> None:
        self.watch = Stopwatch()
        self.encoder_note = ""

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Ask every client for its scores."""
        self.begin(grid, rounds=1)
        with self.watch("embed and score"):
            self.start(grid, ArrayRecord(), num_rounds=1)
        return self.scores

    def summary(self) -> None:
        """Nothing to say."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for nothing."""
        return []

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[None, None]:
        """Nothing comes."""
        return None, None

    def score_request(self, client: int) -> RecordDict:
        """Send nothing but the question."""
        return RecordDict()
