"""What is common to the costs of all methods of this kind: groups whose clients train, and the sums that they tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from baselines.client_training.rounds import settings_of
from collab_asd.config import RunConfig
from collab_asd.methods.costs import (
    ARRAY_HEADER,
    Bytes,
    Group,
    Holding,
    Part,
    groups_of,
    model_arrays,
    scores_sent,
    trained_on,
)

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry


def trained_groups(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> list[Group]:
    """Return the groups, each of whose clients trains."""

    def divide(members: Sequence[Holding]) -> tuple[Part, ...]:
        clients = sorted({holding.client for holding in members})
        return tuple(_client_part(config, entry, client, members) for client in clients)

    return groups_of(config, entry, holdings, settings_of(config).training.backbone, divide)


def _client_part(config: RunConfig, entry: EncoderEntry, client: int, members: Sequence[Holding]) -> Part:
    """As `baselines.client_training` divides windows over rounds and clients."""
    own = [holding for holding in members if holding.client == client]
    everywhere: dict[int, int] = defaultdict(int)
    for holding in members:
        everywhere[holding.machine_class] += len(holding.train)
    share = sum(len(holding.train) / everywhere[holding.machine_class] for holding in own) / len(own)
    settings = settings_of(config, share=share)
    part = trained_on(entry, own, settings.training)
    return Part(settings.rounds * part.windows, settings.rounds * part.steps)


def sent_beside_training(holdings: Sequence[Holding], groups: Sequence[Group]) -> Bytes:
    """Count scores; sums and sums of squares of each dimension, as 64-bit floats; and the last ID classifier."""
    up = sum(len(g.clients) * (2 * 8 * g.settings.dimension + 3 * ARRAY_HEADER) for g in groups)
    down = sum(len(group.clients) * model_arrays(group.settings).sent for group in groups)
    return scores_sent(holdings) + Bytes(up, down)


def describe_model_exchange(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Bytes:
    """Count what federated averaging sends: the model to each client and back in every round."""
    groups, rounds = trained_groups(config, entry, holdings), settings_of(config).rounds
    model = sum(rounds * len(group.clients) * model_arrays(group.settings).sent for group in groups)
    return sent_beside_training(holdings, groups) + Bytes(model, model)
