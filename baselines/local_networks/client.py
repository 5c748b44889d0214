"""The client's half of the local networks: train on the own machine's normal clips, score its test clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import RecordDict

from collab_asd.config import RunConfig
from collab_asd.core.seeding import derive
from collab_asd.core.types import FloatArray, ScoreArray, SpaceScores
from collab_asd.detection.detector import ClipPoints
from collab_asd.federation.client_data import ClientData, LocalMachine
from collab_asd.federation.scoring import MachineScores
from collab_asd.methods import METHODS

if TYPE_CHECKING:
    from baselines.local_networks.detector import LocalDetector


def _vae(config: RunConfig) -> LocalDetector:
    from baselines.local_networks.vae import PRESETS, Vae

    return Vae(PRESETS[config.preset].lasting(config.epochs))


def _vidnn(config: RunConfig) -> LocalDetector:
    from baselines.local_networks.vidnn import PRESETS, Vidnn

    return Vidnn(PRESETS[config.preset].lasting(config.epochs))


def _glow(config: RunConfig) -> LocalDetector:
    from baselines.local_networks.glow import PRESETS, Glow

    return Glow(PRESETS[config.preset].lasting(config.epochs))


# Imported where they are used: every client starts with this module, and few need a flow.
NETWORKS: dict[str, Callable[[RunConfig], LocalDetector]] = {"vae": _vae, "vidnn": _vidnn, "glow": _glow}


def build_detector(config: RunConfig) -> LocalDetector:
    """Build the untrained detector of the configured method."""
    return NETWORKS[METHODS.find(config.method).scorer](config)


def score(client: ClientData, config: RunConfig, content: RecordDict) -> list[MachineScores]:
    """Train one network per machine on its training clips and score its test clips.

    The threshold comes from the calibration clips, which the network has not seen. Where there are too few clips to
    hold any back, it comes from the clips that the network was trained on, since training it anew for each of several
    folds would take too long: these score a little lower than new clips will, so false alarms will be more frequent
    than asked for.
    """
    return [_score_machine(client, machine, config) for machine in client.machines()]


def _score_machine(client: ClientData, machine: LocalMachine, config: RunConfig) -> MachineScores:
    frames = client.machine_frames(machine)
    network = METHODS.find(config.method).scorer
    seed = derive(config.seed, network, client.partition.client, machine.group, machine.machine_class)
    detector = build_detector(config).fit(frames.normal, seed)
    scores = SpaceScores(
        normal=_scores(detector, frames.calibration or frames.normal), test=_scores(detector, frames.test)
    )
    return MachineScores(machine.test, scores, normal=machine.normal, points=ClipPoints.of(frames))


def _scores(detector: LocalDetector, clips: Sequence[FloatArray]) -> ScoreArray:
    return np.array([detector.score(clip) for clip in clips], np.float64)
