"""Machines that join a trained federation: nobody else is asked for embeddings again.

Where the earlier run retained its embeddings, the server goes on training f_s on those and the newcomers'. Where it did
not, f_s stays as it is: the newcomers get it, build their scorers, and send no embedding at all.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from collab_asd.classifier.model import IdClassifier
from collab_asd.core.errors import InputError
from collab_asd.core.types import MachineFrames
from collab_asd.federation.scoring import ClientScores, ScoreRound
from collab_asd.methods.embedding_sharing.algorithm import train_id_classifiers
from collab_asd.methods.embedding_sharing.pages import ClientDescription
from collab_asd.methods.embedding_sharing.state import KEPT, STORE, ServerState
from collab_asd.methods.embedding_sharing.strategy import EmbeddingSharing, log_epoch

logger = logging.getLogger(__name__)


class LateJoining(EmbeddingSharing):
    """Embedding sharing that goes on from an `earlier` result folder; other parameters as of `EmbeddingSharing`."""

    def __init__(self, *args: object, earlier: Path, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.earlier = ServerState.load(earlier / KEPT)
        self._embeddings = earlier / KEPT / STORE
        if self.earlier.codec.text != self.plan.text:
            raise InputError(f"join = {earlier}: has codec = {self.earlier.codec.text}; set the same here")

    def take_up(self) -> list[ClientScores] | None:
        """See `EmbeddingSharing`."""
        now = {client: self.descriptions[client] for client in self.grid.clients}
        known = known_clients(self.earlier.descriptions, now)
        newcomers = [client for client in now if client not in known.values()]
        if not newcomers:
            raise InputError("join: all clients took part in the earlier run already, with the same clips")
        logger.info("clients %s join %d others", ", ".join(map(str, newcomers)), len(known))
        if self._embeddings.is_dir():
            self._store.adopt(self._embeddings, known)
            return None
        # The newcomers score with f_s as it is.
        if self.inference == "server":
            raise InputError("join: f_s that stays with the server needs retain-embeddings = true in the earlier run")
        self._classifiers = dict(self.earlier.classifiers)
        self._store.codec = self.earlier.codec
        for client in newcomers:
            if missing := set(now[client].groups) - self._classifiers.keys():
                raise InputError(f"join: client {client} has a machine of group {missing.pop()}, which has no f_s yet")
        return ScoreRound(self.score_request).run(self.grid.only(newcomers))

    @property
    def _codec_invalidated(self) -> bool:
        """Never: the codec is the earlier run's."""
        return False

    def ranks(self, machines: Sequence[MachineFrames]) -> dict[int, int]:
        """Leave all groups their numbers: by these the earlier run's f_s are found."""
        return {machine.group: machine.group for machine in machines}

    def classifiers_of(self, machines: Sequence[MachineFrames], stacking: tuple[int, int]) -> dict[int, IdClassifier]:
        """Go on training on what was kept and what has come."""
        start = self.earlier.classifiers
        return train_id_classifiers(machines, self.training, stacking, self.seed, self.device, log_epoch, start)


def known_clients(before: Mapping[int, ClientDescription], now: Mapping[int, ClientDescription]) -> dict[int, int]:
    """Find the clients of an earlier run -> their numbers now: they share the same clips.

    Raises
    ------
    InputError
        They use another encoder, or the number of a machine in its group has changed.
    """
    numbers = {said.clips_digest: client for client, said in now.items()}
    known = {client: numbers[said.clips_digest] for client, said in before.items() if said.clips_digest in numbers}
    digests = {said.digest for said in (*before.values(), *now.values())}
    if len(digests) > 1:
        raise InputError("join: the earlier run used another encoder, other weights or another key")
    for then, client in known.items():
        if before[then].places != now[client].places:
            raise InputError(
                f"join: a machine of client {client} has another number in its group than in the earlier run; give the "
                "newcomer an ID that is sorted behind the others'"
            )
    return known
