"""How long a run will take on this machine, from its multiply-accumulates; right within a factor of about two.

The machine is measured in the moment, by matrix products. How much of that rate training reaches, and what a step and
a run cost whatever their size, was measured with the experiment ``toycar`` and with the preset ``paper``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from baselines.local.strategy import SCORER_OF
from baselines.local_networks.client import NETWORKS
from baselines.local_networks.detector import NetworkSettings
from baselines.local_networks.settings import NETWORK_OF
from baselines.local_networks.training import Budget
from collab_asd.config import RunConfig
from collab_asd.encoders.catalogue import Entry
from collab_asd.id_classifier.windows import window_count
from simulations.forecast.holdings import Holding, Seconds
from simulations.forecast.network_size import model_cost, network_cost
from simulations.forecast.workload import Part, frames_of, groups_of

GIGA = 1e9
SIZE, PRODUCTS = 1024, 15  # of the square matrices, and how many times they are multiplied
SERVER_TRAINS = ("embedding-sharing", "centralized")
INPUT_MACS = 175  # of a network in training that cost as much as to copy, standardise and mix one number of its input
RUN_SECONDS, CLIP_SECONDS = 1.0, 0.001  # of a run, and of each clip, whatever the method


@dataclass(frozen=True)
class Speed:
    """What trains, or scores.

    Parameters
    ----------
    gmacs : float
        Multiply-accumulates per second of a matrix product, in 10^9.
    share : float
        Of it that a network in training reaches.
    step : float
        Seconds that a step costs beside.
    """

    gmacs: float
    share: float = 0.3
    step: float = 0.004

    def seconds(self, macs: float, steps: int = 0) -> float:
        """Seconds of some multiply-accumulates in some steps."""
        return macs / (self.share * self.gmacs * GIGA) + self.step * steps


GPU = Speed(4000.0, step=0.02)
"""Assumed, not measured: fp32 of a card such as an NVIDIA T4."""


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates and steps of a run: `training` of f_s at the server, and `own` of all clients; clips."""

    training: float
    training_steps: int
    own: float
    own_steps: int
    clips: int

    def seconds(self, client: Speed, server: Speed, trained: bool = False) -> float:
        """Seconds of the run, if the server need not train what an earlier run has `trained`."""
        at_server = 0.0 if trained else server.seconds(self.training, self.training_steps)
        return RUN_SECONDS + CLIP_SECONDS * self.clips + at_server + client.seconds(self.own, self.own_steps)


def measured_speed() -> Speed:
    """Measure how fast this machine multiplies, with as many threads as a run has by default."""
    threads = torch.get_num_threads()
    torch.set_num_threads(RunConfig.threads)
    try:
        matrix = torch.rand(SIZE, SIZE)
        seconds = median(_seconds(matrix) for _ in range(PRODUCTS))
    finally:
        torch.set_num_threads(threads)
    return Speed(SIZE**3 / seconds / GIGA)


def _seconds(matrix: torch.Tensor) -> float:
    start = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - start


def encoding_seconds(entry: Entry, lengths: Seconds, speed: Speed) -> float:
    """Seconds to encode clips of some lengths, on one core."""
    return sum(lengths) * entry.work / speed.gmacs


def work_of(config: RunConfig, entry: Entry, holdings: Sequence[Holding]) -> Work:
    """Count what a run has to compute beside encoding and scoring points."""
    if config.method in NETWORK_OF:
        return _local_networks(config, entry, holdings)
    clips = sum(len(holding.all) for holding in holdings)
    if config.method in SCORER_OF:
        return Work(0, 0, 0, 0, clips)
    training, steps, scoring = 0.0, 0, 0.0
    for group in groups_of(config, entry, holdings):
        cost = model_cost(group.settings)
        window = cost.training + INPUT_MACS * group.settings.stack * group.settings.dimension
        training += window * sum(part.windows for part in group.parts)
        steps += sum(part.steps for part in group.parts)
        scoring += cost.scoring * group.scored
    if config.method in SERVER_TRAINS:
        return Work(training, steps, scoring, 0, clips)
    return Work(0, 0, training + scoring, steps, clips)


def _local_networks(config: RunConfig, entry: Entry, holdings: Sequence[Holding]) -> Work:
    detector = NETWORKS[NETWORK_OF[config.method]](config)
    settings = detector.settings
    cost = network_cost(detector, entry.spec.dimension)
    macs, steps = 0.0, 0
    for holding in holdings:
        part = _local_part(settings.budget, _windows(entry, holding.train, settings))
        scored = _windows(entry, (holding.calibration or holding.train) + holding.test, settings)
        macs += cost.training * part.windows + cost.scoring * scored
        steps += part.steps
    return Work(0, 0, macs, steps, sum(len(holding.all) for holding in holdings))


def _windows(entry: Entry, lengths: Seconds, settings: NetworkSettings) -> int:
    return sum(n * window_count(frames_of(entry, s), settings.stack, settings.hop) for s, n in Counter(lengths).items())


def _local_part(budget: Budget, windows: int) -> Part:
    size = min(budget.windows or windows, windows)
    return Part(budget.epochs * size, budget.epochs * -(-size // budget.batch))
