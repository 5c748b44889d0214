"""Bytes that a run will send: counted from what each method says it sends, before anything is embedded or trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.client_training.settings import settings_of
from baselines.fedavg.strategy import STOCK
from baselines.split_learning.strategy import SPLIT_METHODS
from collab_asd.codecs import CodecPlan, FrameStatistics
from collab_asd.config import RunConfig
from collab_asd.embedding_sharing.codec import codec_of
from collab_asd.embedding_sharing.pages import plan_pages
from collab_asd.encoders.catalogue import Entry
from simulations.forecast.holdings import Holding
from simulations.forecast.network_size import Arrays, model_arrays, model_cut
from simulations.forecast.workload import Group, frames_of, groups_of

ARRAY_HEADER = 170  # bytes around an array's numbers: name, type, shape
SCORE = 25  # bytes of a test clip's score: number, score, threshold, decision, class
SCORE_ARRAYS, SHARED_ARRAYS = 5, 5
WINDOW_LABELS = 8  # bytes: class of a window, and of what it is mixed with
MEGABYTE = 1_000_000
CLIP_NUMBERS = 16  # bytes: its number, frames, group and class
PAGE_ARRAYS = 6
STEP_ARRAYS = 4  # activations, two kinds of labels, share


@dataclass(frozen=True)
class Traffic:
    """Bytes from all clients to the server, and from the server to all clients."""

    up: int
    down: int

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.up + other.up, self.down + other.down)


def traffic(config: RunConfig, entry: Entry, holdings: Sequence[Holding]) -> Traffic:
    """Return what a run sends, its messages of a few numbers left out."""
    sent = _scores(holdings)
    if config.method in ("embedding-sharing", "centralized"):
        sent += _embeddings(config, entry, holdings)
    elif config.method not in (*STOCK, *SPLIT_METHODS):
        return sent
    for group in groups_of(config, entry, holdings):
        if config.method in STOCK:
            sent += _averaging(config, group)
        elif config.method in SPLIT_METHODS:
            sent += _split(config, group)
        if config.inference == "client" or config.method in (*STOCK, *SPLIT_METHODS):
            sent += Traffic(0, len(group.clients) * _bytes(model_arrays(group.settings)))
    return sent


def _scores(holdings: Sequence[Holding]) -> Traffic:
    clients = len({holding.client for holding in holdings})
    clips = sum(len(holding.test) for holding in holdings)
    return Traffic(SCORE * clips + SCORE_ARRAYS * ARRAY_HEADER * clients, 0)


def _embeddings(config: RunConfig, entry: Entry, holdings: Sequence[Holding]) -> Traffic:
    """Pages of training clips of all, and what the codec needs; under Algorithm 2 the other clips, too."""
    whole, plan, dimension = config.inference == "server", codec_of(config), entry.spec.dimension
    parts = ("train", "calibration", "test") if whole else ("train",)
    clients = _by_client(holdings)
    up = pages = 0
    for held in clients:
        for part in parts:
            frames = [frames_of(entry, seconds) for holding in held for seconds in getattr(holding, part)]
            sizes = [plan.clip_bytes(count, dimension) for count in frames]
            ends = plan_pages(sizes, int(config.page_megabytes * MEGABYTE))
            up, pages = (
                up + sum(sizes) + len(sizes) * CLIP_NUMBERS + len(ends) * PAGE_ARRAYS * ARRAY_HEADER,
                pages + len(ends),
            )
    told, codec = _learning(plan, dimension)
    fetched = pages if whole else pages + len(clients)  # with each page, and beside f_s
    back = sum(map(_shared_scores, holdings)) if whole else 0
    return Traffic(up + len(clients) * told, fetched * codec + back)


def _learning(plan: CodecPlan, dimension: int) -> tuple[int, int]:
    """Bytes of a client's statistics, and of the codec that is fitted to them; none if it learns nothing."""
    if not plan.learns:
        return 0, 0
    directions = min(max(stage.directions for stage in plan.stages), dimension)
    zeros = np.zeros(dimension, np.float32)
    statistics = FrameStatistics(1, zeros, zeros, np.zeros((directions, dimension), np.float32))
    told, codec = statistics.to_arrays(), plan.fit([statistics]).to_arrays()
    return tuple(sum(a.nbytes + ARRAY_HEADER for a in arrays.values()) for arrays in (told, codec))  # type: ignore[return-value]


def _by_client(holdings: Sequence[Holding]) -> list[list[Holding]]:
    numbers = sorted({holding.client for holding in holdings})
    return [[holding for holding in holdings if holding.client == number] for number in numbers]


def _shared_scores(holding: Holding) -> int:
    """Return the bytes that come back under Algorithm 2: number and score of each clip, class of each test clip."""
    return len(holding.all) * 12 + len(holding.test) * 4 + SHARED_ARRAYS * ARRAY_HEADER


def _averaging(config: RunConfig, group: Group) -> Traffic:
    """Send the model to each client and back in every round; before, the sums that standardisation is made of."""
    model = settings_of(config).rounds * len(group.clients) * _bytes(model_arrays(group.settings))
    return Traffic(model, model) + _sums(group)


def _split(config: RunConfig, group: Group) -> Traffic:
    """Activations for gradients; the stage and its optimiser's moments handed on each round, no moments at first."""
    cut, rounds, clients = model_cut(group.settings), settings_of(config).rounds, len(group.clients)
    baton, first = _bytes(cut.stage + cut.moments), _bytes(cut.stage)
    beginners = clients if config.method == "splitfed" else 1
    windows, steps = (sum(getattr(part, name) for part in group.parts) for name in ("windows", "steps"))
    numbers = 4 * windows * cut.activations
    labels = windows * WINDOW_LABELS + steps * STEP_ARRAYS * ARRAY_HEADER
    standardisation = 2 * 4 * group.settings.dimension + 2 * ARRAY_HEADER
    turns = rounds * clients
    batons_down = (turns - beginners) * baton + beginners * first
    down = numbers + steps * ARRAY_HEADER + batons_down + turns * standardisation
    return Traffic(numbers + labels + turns * baton, down) + _sums(group)


def _sums(group: Group) -> Traffic:
    """Send sums and sums of squares of each dimension, as 64-bit floats."""
    return Traffic(len(group.clients) * (2 * 8 * group.settings.dimension + 3 * ARRAY_HEADER), 0)


def _bytes(arrays: Arrays) -> int:
    return arrays.size + arrays.count * ARRAY_HEADER
