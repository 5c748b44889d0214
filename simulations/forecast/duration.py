"""How long a run will take on this machine, from its multiply-accumulates; right within a factor of about two.

The machine is measured in the moment, by matrix products. How much of that rate training reaches, and what a step and
a run cost whatever their size, was measured with the experiment ``toycar`` and with the preset ``paper``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from collab_asd.config import RunConfig
from collab_asd.encoders import EncoderEntry
from collab_asd.methods.costs import Holding, Seconds, Work

GIGA = 1e9
SIZE, PRODUCTS = 1024, 15  # of the square matrices, and how many times they are multiplied
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


def run_seconds(work: Work, holdings: Sequence[Holding], client: Speed, server: Speed, trained: bool = False) -> float:
    """Seconds of a run, if the server need not train what an earlier run has `trained`."""
    clips = sum(len(holding.all) for holding in holdings)
    at_server = 0.0 if trained else server.seconds(work.server_macs, work.server_steps)
    at_clients = client.seconds(work.client_macs, work.client_steps)
    return RUN_SECONDS + CLIP_SECONDS * clips + at_server + at_clients


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


def encoding_seconds(entry: EncoderEntry, lengths: Seconds, speed: Speed) -> float:
    """Seconds to encode clips of some lengths, on one core."""
    return sum(lengths) * entry.work / speed.gmacs
