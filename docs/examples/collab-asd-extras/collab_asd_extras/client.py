"""The clients' half: what is answered, and how clips are scored."""

from dataclasses import replace

import numpy as np
from flwr.app import RecordDict

from collab_asd.config import RunConfig
from collab_asd.core.types import FloatArray, MachineFrames
from collab_asd.detection.scorers import ScorerSettings
from collab_asd.federation.client_data import ClientData, LocalMachine
from collab_asd.federation.messages import from_record, to_record
from collab_asd.federation.scoring import MachineScores, score_with
from collab_asd.methods.embedding_sharing.algorithm import fit_local_detector


def tell_sums(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Tell the number of frames of all training clips, their sums and sums of squares ``[D]``."""
    frames = np.concatenate(client.frames(client.indices("train"))).astype(np.float64)
    sums = {"count": np.array(float(len(frames))), "total": frames.sum(axis=0), "squares": (frames**2).sum(axis=0)}
    return RecordDict({"sums": to_record(sums)})


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Score each machine's test clips by k-NN in the units that the server sent."""
    units = from_record(content.array_records["units"])
    return [_score_machine(client, machine, units["mean"], units["deviation"]) for machine in client.machines()]


def _score_machine(client: ClientData, machine: LocalMachine, mean: FloatArray, deviation: FloatArray) -> MachineScores:
    own = client.machine_frames(machine)
    parts = [[(frames - mean) / deviation for frames in part] for part in (own.normal, own.calibration, own.test)]
    scaled = MachineFrames(own.group, own.machine_class, *parts)
    detector = fit_local_detector(scaled, ScorerSettings("knn"))
    scores = score_with(detector, scaled, normal=machine.normal, test=machine.test)
    return replace(scores, detector=None)  # not kept: `collab-asd score` would not know of the units
