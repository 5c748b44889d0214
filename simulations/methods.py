"""The methods by name, as the server runs them. A method is added by one folder and one line of `METHODS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from collab_asd.config import RunConfig, check_choice
from collab_asd.errors import InputError
from collab_asd.paths import cache_dir

if TYPE_CHECKING:
    from flwr.app import Message

    from collab_asd.federation.grid import SupervisedGrid
    from collab_asd.federation.scoring import ClientScores
    from collab_asd.federation.stopwatch import Stopwatch
    from collab_asd.id_classifier.settings import TrainingSettings


class Method(Protocol):
    """What the server app needs of a method; `shares` says whether it trains over several machines."""

    watch: Stopwatch
    shares: bool
    tolerates_exclusion: bool

    @property
    def encoder_note(self) -> str:
        """What a reader of the results must know of the encoder."""
        ...

    def check_reply(self, client: int, request: Message, reply: Message) -> None:
        """Raise a ValueError where a client's reply to a message cannot be used."""
        ...

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Train, and return every client's scores."""
        ...


def _embedding_sharing(config: RunConfig) -> Method:
    from collab_asd.id_classifier.settings import PRESETS

    return _sharing(config, PRESETS[config.preset])


def _centralized(config: RunConfig) -> Method:
    from baselines.centralized.settings import PRESETS

    return _sharing(config, PRESETS[config.preset])


def _sharing(config: RunConfig, preset: TrainingSettings) -> Method:
    from collab_asd.embedding_sharing.classifier_cache import ClassifierCache
    from collab_asd.embedding_sharing.codec import codec_of
    from collab_asd.embedding_sharing.joining import LateJoining
    from collab_asd.embedding_sharing.strategy import EmbeddingSharing
    from collab_asd.scorers import DetectorSettings

    training = replace(
        preset,
        epochs=config.epochs or preset.epochs,
        learning_rate=config.learning_rate or preset.learning_rate,
        normalization=config.normalization,
    )
    cache = ClassifierCache(cache_dir(config.cache_dir) / "classifiers")
    scorer = DetectorSettings.of(config)
    settings = training, scorer, codec_of(config), config.inference, config.seed, config.device, cache
    if config.join:
        return LateJoining(*settings, retain=config.retain_embeddings, earlier=Path(config.join).expanduser())
    return EmbeddingSharing(*settings, retain=config.retain_embeddings)


def _local(config: RunConfig) -> Method:
    from baselines.local.strategy import LocalOnly

    return LocalOnly(config.encoder)


def _federated(config: RunConfig) -> Method:
    from baselines.fedavg.strategy import FederatedAveraging

    return FederatedAveraging(config)


def _split(config: RunConfig) -> Method:
    from baselines.split_learning.strategy import SplitLearning

    return SplitLearning(config)


def _local_network(config: RunConfig) -> Method:
    from baselines.local_networks.strategy import local_network

    return local_network(config)


FEDERATED = ("fedavg", "fedprox", "fedavgm", "fedmedian", "fedtrimmedavg", "fedadagrad", "fedadam", "fedyogi")
METHODS: dict[str, Callable[[RunConfig], Method]] = {
    "embedding-sharing": _embedding_sharing,
    "centralized": _centralized,
    "local-knn": _local,
    "local-mahalanobis": _local,
    **dict.fromkeys(FEDERATED, _federated),
    "split-learning": _split,
    "splitfed": _split,
    "local-vae": _local_network,
    "local-vidnn": _local_network,
    "local-glow": _local_network,
}


LOCAL = "local-"
"""Begins the name of a method that shares nothing; its scorer is the rest of the name."""


def scorer_name(config: RunConfig) -> str:
    """Return the scorer that a method really uses: local ones have no shared space to fuse with."""
    return config.method.removeprefix(LOCAL) if config.method.startswith(LOCAL) else config.scorer


def build(config: RunConfig) -> Method:
    """Build the server's side of the configured method.

    Raises
    ------
    InputError
        As `require_valid`; or this machine lacks the device to train on.
    """
    from collab_asd.threads import require_device

    require_valid(config)
    require_device(config.device)
    return METHODS[config.method](config)


def fewest_clients(config: RunConfig, method: Method) -> int:
    """Return how many clients a run needs: those configured, or two where something is shared and one elsewhere."""
    return config.min_clients or (2 if method.shares else 1)


def require_clients(config: RunConfig, method: Method, clients: int) -> None:
    """Refuse a run of ``collab-asd run`` that has too few clients.

    Raises
    ------
    InputError
        Says how many there are, how many are needed, and which options change that.
    """
    fewest = fewest_clients(config, method)
    if clients >= fewest:
        return
    if not config.data_dir:
        given, more = f"--supernodes {clients}", f"--supernodes {fewest}"
    elif config.clients:
        given, more = f"clients = {clients}", f"--set clients={fewest}"
    else:
        given, more = f"{config.data_dir}: {clients} machine{'s' * (clients > 1)}", "add recordings of another machine"
    if config.min_clients:
        raise InputError(f"{given}, but min-clients = {fewest}: {more}, or lower it (--set min-clients={clients})")
    raise InputError(
        f"{given}, but method {config.method!r} shares between {fewest} clients or more: {more}, or choose a method "
        "that shares nothing (--method local-mahalanobis)"
    )


def require_valid(config: RunConfig) -> None:
    """Refuse names that do not exist, and what does not go together, before anything that takes long to import.

    Raises
    ------
    InputError
        The method, a scorer, the codec or a defence does not exist or does not fit the method, or the method cannot
        read the encoder's frames.
    """
    from collab_asd.codecs import parse
    from collab_asd.defences.chain import require_possible
    from collab_asd.scorers import DetectorSettings

    check_choice("method", config.method, METHODS, see="`collab-asd config method` lists all")
    DetectorSettings.of(config)
    parse(config.codec)
    require_possible(config)
    _require_readable(config)


def _require_readable(config: RunConfig) -> None:
    """Refuse an encoder whose frames the method cannot learn from."""
    from baselines.centralized.settings import require_recordings
    from baselines.local_networks.settings import require_log_mel
    from baselines.split_learning.settings import require_possible
    from collab_asd.scorers import BARE_SAMPLES

    requirements: dict[Callable[[RunConfig], Method], Callable[[RunConfig], None]]
    requirements = {_centralized: require_recordings, _local_network: require_log_mel, _split: require_possible}
    if require := requirements.get(METHODS[config.method]):
        require(config)
    elif config.encoder in BARE_SAMPLES:
        raise InputError(
            f"encoder {config.encoder!r} gives bare samples, which method {config.method!r} cannot learn from: add "
            "--method centralized, or choose another encoder"
        )
