"""What clients answer in every method of this kind: sums of their frames; and the clips that they train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from flwr.app import ConfigRecord, RecordDict

from baselines.client_training.rounds import CLASS_CLIPS, frame_sums
from collab_asd.config import RunConfig
from collab_asd.core.seeding import derive
from collab_asd.core.types import FloatArray
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.messages import to_record

KEPT_BYTES = 1_000_000_000  # of frames, in one process: clients train on the same ones in every round


@dataclass(frozen=True)
class TrainingClips:
    """Frames ``[T, D]`` of a client's normal clips in one group, and the class of each."""

    clips: list[FloatArray]
    classes: list[int]

    def nbytes(self) -> int:
        """Bytes of all frames."""
        return sum(clip.nbytes for clip in self.clips)

    def share(self, request: Mapping[str, Any]) -> float:
        """Return this client's share of the clips of a class, on average over its own; `request` has all clients'."""
        everywhere = np.array(request[CLASS_CLIPS])
        return float(np.mean([self.classes.count(c) / everywhere[c] for c in set(self.classes)]))


def statistics(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Say what the server must know: the encoder's facts, this client's classes, and sums over its frames per group."""
    spec, reply = client.encoder.spec, RecordDict()
    reply["encoder"] = ConfigRecord(
        {
            "stack": spec.stack,
            "stack-hop": spec.stack_hop,
            "dimension": spec.dimension,
            "digest": spec.digest,
        }
    )
    client.prepare(range(len(client.partition.clips)))
    for group in sorted({machine.group for machine in client.machines()}):
        own = training_clips(client, group)
        reply[f"sums/{group}"] = to_record(frame_sums(own.clips))
        held = sorted(set(own.classes))
        reply[f"classes/{group}"] = ConfigRecord({"held": held, "clips": [own.classes.count(c) for c in held]})
    return reply


@cached(LRUCache(KEPT_BYTES, getsizeof=TrainingClips.nbytes))
def training_clips(client: ClientData, group: int) -> TrainingClips:
    """Return what this client trains the model of a group on."""
    machines = [machine for machine in client.machines() if machine.group == group]
    clips = [frames for machine in machines for frames in client.frames(machine.train)]
    return TrainingClips(clips, [machine.machine_class for machine in machines for _ in machine.train])


def round_seed(config: RunConfig, client: ClientData, group: int, server_round: int) -> int:
    """Seed of the windows that a client draws in a round; the same for all methods of this kind."""
    return derive(config.seed, "federated", group, client.partition.client, server_round)
