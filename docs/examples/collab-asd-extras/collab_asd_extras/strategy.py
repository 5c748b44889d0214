"""The server's half: it imports no encoder, and sees sums alone."""

from flwr.app import Message, RecordDict

from collab_asd.classifier.sampling import statistics_from_sums
from collab_asd.config import RunConfig
from collab_asd.core.runtime import Stopwatch
from collab_asd.federation.grid import SupervisedGrid
from collab_asd.federation.messages import from_record, to_record
from collab_asd.federation.scoring import ClientScores, ScoreGathering


class FederatedZScore(ScoreGathering):
    """Pools the clients' sums, and gives all of them the same units."""

    def __init__(self, config: RunConfig) -> None:
        self.watch, self.encoder_note = Stopwatch(), config.encoder

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Ask for sums, hand back mean and spread, and return the clients' scores."""
        with self.watch("embed"):
            replies = grid.send_and_receive([Message(RecordDict(), node, "query.sums") for node in grid.get_node_ids()])
        told = [from_record(reply.content.array_records["sums"]) for reply in replies]
        count, total, squares = (sum(sums[name] for sums in told) for name in ("count", "total", "squares"))
        mean, deviation = statistics_from_sums(float(count), total, squares)
        self.units = to_record({"mean": mean, "deviation": deviation})
        with self.watch("score"):
            return self.conduct(grid)

    def score_request(self, client: int) -> RecordDict:
        """Send the units."""
        return RecordDict({"units": self.units})
