"""How `centralized` trains: embedding sharing whose embedding is the recording.

The protocol, the strategy and the scorers are those of embedding sharing. Only the ID classifier differs: it hears
samples, and learns a front end for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from collab_asd.classifier import settings
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.config import Preset, RunConfig
from collab_asd.methods.costs import Bytes, Holding
from collab_asd.methods.embedding_sharing import costs as embedding_sharing_costs
from collab_asd.methods.embedding_sharing import strategy as embedding_sharing

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry

PRESETS: dict[Preset, TrainingSettings] = {
    "fast": replace(settings.PRESETS["fast"], backbone="stgram-light", learning_rate=2e-3),  # chosen on toycar_tune
    "paper": replace(settings.PRESETS["paper"], backbone="stgram-mfn"),
}
"""Those of embedding sharing, with as many windows of each machine."""


def build_strategy(config: RunConfig) -> embedding_sharing.EmbeddingSharing:
    """Build the strategy of embedding sharing, with the training of this method."""
    return embedding_sharing.build_strategy(config, PRESETS[config.preset])


def describe_costs(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Bytes:
    """Count as embedding sharing does, with the training of this method."""
    return embedding_sharing_costs.describe_costs(config, entry, holdings, PRESETS[config.preset])
