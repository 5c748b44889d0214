"""What a run of federated averaging will send and compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from baselines.client_training.costs import sent_beside_training, trained_groups, work_of
from baselines.client_training.settings import settings_of
from collab_asd.config import RunConfig
from collab_asd.methods.costs import Bytes, Costs, Holding, model_arrays

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry


def describe_costs(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Costs:
    """Count the model to each client and back in every round."""
    groups, rounds = trained_groups(config, entry, holdings), settings_of(config).rounds
    model = sum(rounds * len(group.clients) * model_arrays(group.settings).sent for group in groups)
    return Costs(sent_beside_training(holdings, groups) + Bytes(model, model), work_of(groups))
