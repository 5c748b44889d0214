"""What a run of embedding sharing will send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from collab_asd.classifier.settings import TrainingSettings, training_of
from collab_asd.config import RunConfig
from collab_asd.core.types import PARTS, Part
from collab_asd.detection.second_order import DIMENSION
from collab_asd.methods.costs import (
    ARRAY_HEADER,
    Bytes,
    Holding,
    frames_of,
    groups_of,
    model_arrays,
    scores_sent,
)
from collab_asd.methods.embedding_sharing.covariances import shares_covariances
from collab_asd.methods.embedding_sharing.pages import codec_of, plan_pages
from collab_asd.wire.codecs import CodecPlan, FrameStatistics

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry

CLIP_NUMBERS = 16  # bytes of a clip on a page: its number, frames, group and class
PAGE_ARRAYS = 6
SHARED_ARRAYS = 5  # of a machine's scores under Algorithm 2
MEGABYTE = 1_000_000
COVARIANCE = 4 * DIMENSION * (DIMENSION + 1) // 2 + 8


def describe_costs(
    config: RunConfig,
    entry: EncoderEntry,
    holdings: Sequence[Holding],
    preset: TrainingSettings | None = None,
) -> Bytes:
    """Count pages up, and down f_s (Algorithm 1) or scores (Algorithm 2)."""
    training = training_of(config, preset)
    groups = groups_of(config, entry, holdings, training.backbone)
    sent = scores_sent(holdings) + _embeddings_sent(config, entry, holdings)
    if config.inference == "client":
        sent += Bytes(0, sum(len(group.clients) * model_arrays(group.settings).sent for group in groups))
    return sent


def _embeddings_sent(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Bytes:
    """Pages of training clips of all, and what the codec needs; under Algorithm 2 the other clips, too."""
    whole, plan, dimension = config.inference == "server", codec_of(config), entry.spec.dimension
    parts: Sequence[Part] = PARTS if whole else ("train",)
    clients = _by_client(holdings)
    up = pages = 0
    for held in clients:
        for part in parts:
            frames = [frames_of(entry, seconds) for holding in held for seconds in getattr(holding, part)]
            sizes = [plan.clip_bytes(count, dimension) for count in frames]
            ends = plan_pages(sizes, int(config.page_megabytes * MEGABYTE))
            up += sum(sizes) + len(sizes) * CLIP_NUMBERS + len(ends) * PAGE_ARRAYS * ARRAY_HEADER
            pages += len(ends)
    told, codec = _learning(plan, dimension)
    fetched = pages if whole else pages + len(clients)  # with each page, and beside f_s
    back = sum(map(_shared_scores, holdings)) if whole else 0
    if shares_covariances(config):
        up += len(holdings) * (COVARIANCE + 2 * ARRAY_HEADER)
        back += len(holdings) * (COVARIANCE + 4 * DIMENSION + 3 * ARRAY_HEADER)
    return Bytes(up + len(clients) * told, fetched * codec + back)


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
