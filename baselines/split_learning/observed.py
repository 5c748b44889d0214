"""What a recorded run of split learning shows of single windows, beside which windows they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.client_training.client import round_seed, training_clips
from baselines.client_training.rounds import settings_of
from baselines.split_learning.algorithm import STAGE_STATE
from collab_asd.audit.view import Recorded, View
from collab_asd.classifier.model import ClassifierSettings
from collab_asd.classifier.sampling import WindowSampler
from collab_asd.classifier.training import draw_epoch
from collab_asd.config import RunConfig
from collab_asd.core.types import FloatArray
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.messages import SPLIT


@dataclass(frozen=True)
class FirstBatch:
    """The first batch of a client's turn, by a stage that the server has just handed on.

    Parameters
    ----------
    client, group, server_round : int
    settings : ClassifierSettings
    budget : mapping
        Clips of each class at all clients, as the client was told.
    stage : mapping of str to array
        The first stage.
    mean, scale : FloatArray
        ``[D]``: of the standardisation.
    activations : FloatArray
        ``[B, ...]``
    share : float
        Of each window in its mixture.
    """

    client: int
    group: int
    server_round: int
    settings: ClassifierSettings
    budget: Mapping[str, Any]
    stage: Mapping[str, NDArray[Any]]
    mean: FloatArray
    scale: FloatArray
    activations: FloatArray
    share: float

    @property
    def purity(self) -> float:
        """Share of the louder window of each mixture."""
        return max(self.share, 1 - self.share)


def first_batches(view: View) -> Iterator[FirstBatch]:
    """All first batches, client by client."""
    asked: dict[int, Recorded] = {}
    for message in view.messages:
        if message.kind != SPLIT:
            continue
        if message.way == "down":
            asked[message.client] = message
            continue
        request, activations = asked.pop(message.client), message.part("activations")
        if activations and request.records["turn"]["step"] == 0:
            yield _first_batch(request, activations)


def _first_batch(request: Recorded, sent: Mapping[str, NDArray[Any]]) -> FirstBatch:
    turn, standardisation = request.records["turn"], request.part("standardisation")
    return FirstBatch(
        client=request.client,
        group=int(turn["group"]),
        server_round=int(turn["server_round"]),
        settings=ClassifierSettings.from_plain(request.records["settings"]),
        budget=request.records["budget"],
        stage=request.part(STAGE_STATE),
        mean=standardisation["mean"],
        scale=standardisation["scale"],
        activations=sent["activations"],
        share=float(sent["share"]),
    )


def louder_windows(batch: FirstBatch, client: ClientData, config: RunConfig) -> list[tuple[int, int]]:
    """Return of each row which window is the louder: the number of its clip at the client, and its first frame."""
    own, settings = training_clips(client, batch.group), batch.settings
    sampler = WindowSampler(own.clips, own.classes, settings.stack, settings.stack_hop)
    training = settings_of(config, share=own.share(batch.budget)).training
    seed = round_seed(config, client, batch.group, batch.server_round)
    draw = draw_epoch(sampler, training, np.random.default_rng(seed))[0]
    louder = draw.windows if draw.share >= 0.5 else draw.windows[draw.partners]
    clips, positions = sampler.places(louder)
    numbers = [i for machine in client.machines() if machine.group == batch.group for i in machine.train]
    return [(numbers[c], p * settings.stack_hop) for c, p in zip(clips.tolist(), positions.tolist(), strict=True)]
