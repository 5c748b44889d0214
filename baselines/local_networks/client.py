"""The client's half of the local networks: train on the own machine's normal clips, score its test clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from flwr.app import RecordDict

from collab_asd.config import RunConfig
from collab_asd.core.registry import load
from collab_asd.core.runtime import resolve_device
from collab_asd.core.seeding import derive
from collab_asd.core.types import SpaceScores
from collab_asd.detection.detector import ClipPoints
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.scoring import MachineScores
from collab_asd.methods import METHODS

if TYPE_CHECKING:
    from baselines.local_networks.detector import LocalDetector, NetworkSettings


NETWORKS = {
    "vae": "baselines.local_networks.variational:Vae",
    "vidnn": "baselines.local_networks.variational:Vidnn",
    "glow": "baselines.local_networks.glow:Glow",
}
"""Imported where they are used: every client starts with this module, and few need a flow."""


def build_detector(config: RunConfig) -> LocalDetector[NetworkSettings]:
    """Build the untrained detector of the configured method."""
    detector: type[LocalDetector[NetworkSettings]] = load(NETWORKS[METHODS.find(config.method).scorer])
    return detector(detector.presets[config.preset].lasting(config.epochs), resolve_device(config.device))


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Train one network per machine on its training clips and score its test clips.

    The threshold comes from the calibration clips, which the network has not seen. Where there are too few clips to
    hold any back, it comes from the clips that the network was trained on, since training it anew for each of several
    folds would take too long: these score a little lower than new clips will, so false alarms will be more frequent
    than asked for.
    """
    network, found = METHODS.find(config.method).scorer, []
    for machine in client.machines():
        frames = client.machine_frames(machine)
        seed = derive(config.seed, network, client.partition.client, machine.group, machine.machine_class)
        detector = build_detector(config).fit(frames.normal, seed)
        normal, test = (
            np.array([detector.score(clip) for clip in clips], np.float64)
            for clips in (frames.calibration or frames.normal, frames.test)
        )
        points = ClipPoints.of(frames)
        found.append(MachineScores(machine.test, SpaceScores(normal, test), normal=machine.normal, points=points))
    return found
