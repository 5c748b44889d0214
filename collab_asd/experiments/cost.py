"""What a comparison will cost before it is begun: bytes, hours, and what is missing.

How long a run will take follows from its multiply-accumulates, within a factor of about two. The machine is measured in
the moment, by matrix products. How much of that rate training reaches, and what a step and a run cost whatever their
size, was measured with the experiment ``toycar`` and with the preset ``paper``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median

import torch

from collab_asd.config import RunConfig
from collab_asd.core.registry import load
from collab_asd.encoders import ENCODERS, EncoderEntry
from collab_asd.experiments.experiment import Cell
from collab_asd.experiments.holdings import Recordings, holdings
from collab_asd.methods import METHODS
from collab_asd.methods.costs import Bytes, Holding, Seconds, Work

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


HOUR = 3600.0


@dataclass(frozen=True)
class Forecast:
    """What the runs of one method with one encoder will cost; bytes of one run, on average. None where it cannot say.

    Parameters
    ----------
    method, encoder : str
    runs : int
    bytes_up, bytes_down : float
        From all clients to the server, and from the server to all clients.
    hours, hours_gpu : float
        Of all runs one after the other, on one core of this machine; and where a GPU trains what the server trains.
    """

    method: str
    encoder: str
    runs: int
    bytes_up: float | None
    bytes_down: float | None
    hours: float | None
    hours_gpu: float | None


@dataclass(frozen=True)
class Encoding:
    """Hours on one core to encode all clips with an encoder, as many times as seeds or settings ask for."""

    encoder: str
    times: int
    hours: float


@dataclass(frozen=True)
class _Run:
    sent: Bytes
    seconds: float
    seconds_gpu: float


def forecast(cells: Sequence[Cell], found: Recordings, speed: Speed) -> list[Forecast]:
    """Return the costs of the cells that are not finished, method by method.

    Raises
    ------
    InputError
        The clips cannot be dealt as a cell asks for.
    """
    runs: dict[tuple[str, str], list[_Run | None]] = {}
    deal = lru_cache(None)(lambda config: holdings(config, found))
    trained: set[RunConfig] = set()
    for cell in cells:
        alike = _but_for_the_scorer(cell.config)
        if cell.state != "finished":
            held = deal(_deal_of(cell.config))
            run = _run(cell.config, held, speed, trained=alike in trained)
            runs.setdefault((cell.method, cell.config.encoder), []).append(run)
        trained.add(alike)
    return [_summed(method, encoder, some) for (method, encoder), some in runs.items()]


def encodings(cells: Sequence[Cell], found: Recordings, speed: Speed) -> list[Encoding]:
    """Return what encoding the clips for unfinished cells will take, if none of them is in the cache."""
    lengths = tuple(found.seconds(clip) for clip in found.clips)
    builds = {_frames_of(cell.config): cell.config for cell in cells if cell.state != "finished"}
    of_encoder: dict[str, list[RunConfig]] = {}
    for config in builds.values():
        of_encoder.setdefault(config.encoder, []).append(config)
    return [
        Encoding(name, len(configs), sum(encoding_seconds(ENCODERS.find(name), lengths, speed) for _ in configs) / HOUR)
        for name, configs in of_encoder.items()
        if ENCODERS.find(name).made_from not in of_encoder
    ]


def _run(config: RunConfig, held: Sequence[Holding], speed: Speed, trained: bool) -> _Run | None:
    """Count a run; None where its method cannot say."""
    describe_costs = METHODS.find(config.method).describe_costs
    if describe_costs is None:
        return None
    costs = load(describe_costs)(config, ENCODERS.find(config.encoder), held)
    seconds, seconds_gpu = (run_seconds(costs.work, held, speed, server, trained) for server in (speed, GPU))
    return _Run(costs.sent, seconds, seconds_gpu)


def _summed(method: str, encoder: str, runs: Sequence[_Run | None]) -> Forecast:
    counted = [run for run in runs if run is not None]
    if len(counted) < len(runs):
        return Forecast(method, encoder, len(runs), None, None, None, None)
    return Forecast(
        method,
        encoder,
        len(runs),
        sum(run.sent.up for run in counted) / len(runs),
        sum(run.sent.down for run in counted) / len(runs),
        sum(run.seconds for run in counted) / HOUR,
        sum(run.seconds_gpu for run in counted) / HOUR,
    )


def _deal_of(config: RunConfig) -> RunConfig:
    """Return what decides who holds which clips; where each machine is a client, the seed does not."""
    return RunConfig(
        group_by=config.group_by,
        partition=config.partition,
        dirichlet_alpha=config.dirichlet_alpha,
        clients=config.clients,
        calibration=config.calibration,
        seed=config.seed if config.mixed else 0,
    )


def _but_for_the_scorer(config: RunConfig) -> RunConfig:
    return replace(config, scorer="", results_dir="")


def _frames_of(config: RunConfig) -> tuple[str | int, ...]:
    """Return what decides which frames there are: the demo key of an encoder that draws one hangs on the seed."""
    drawn = config.seed if ENCODERS.find(config.encoder).takes_key and not config.encoder_key_file else 0
    return config.encoder, config.encoder_weights, config.encoder_key_file, config.openl3_model, config.frontend, drawn
