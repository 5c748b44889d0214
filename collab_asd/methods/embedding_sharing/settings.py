"""From the run's configuration to the server's half of embedding sharing."""

from __future__ import annotations

from pathlib import Path

from collab_asd.classifier.settings import TrainingSettings, training_of
from collab_asd.config import RunConfig
from collab_asd.core.files import cache_dir
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.methods.embedding_sharing.classifier_cache import ClassifierCache
from collab_asd.methods.embedding_sharing.joining import LateJoining
from collab_asd.methods.embedding_sharing.pages import codec_of
from collab_asd.methods.embedding_sharing.strategy import EmbeddingSharing


def build_strategy(config: RunConfig, preset: TrainingSettings | None = None) -> EmbeddingSharing:
    """Build the strategy; where an earlier run is to be joined, the one that goes on from it.

    Parameters
    ----------
    config : RunConfig
    preset : TrainingSettings, optional
        How f_s is trained where the configuration does not say; by default as its preset says.
    """
    cache = ClassifierCache(cache_dir(config.cache_dir) / "classifiers")
    scorer = DetectorSettings.of(config)
    settings = (
        training_of(config, preset),
        scorer,
        codec_of(config),
        config.inference,
        config.seed,
        config.device,
        cache,
    )
    if config.join:
        return LateJoining(*settings, retain=config.retain_embeddings, earlier=Path(config.join).expanduser())
    return EmbeddingSharing(*settings, retain=config.retain_embeddings)
