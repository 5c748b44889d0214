"""The methods by name. A `MethodSpec` is all that the rest of the program knows of a method.

A method is added by a folder that exports one, and by its line in `METHODS`, or by an entry point of the group
``collab_asd.methods`` in a package of its own (docs/own_method.md). What a spec names is imported when it is used: to
list methods, or to serve one, no other is imported, and no encoder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.registry import Lazy, Registry, load
from collab_asd.core.types import RAW_ENCODERS

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict

    from collab_asd.core.runtime import Stopwatch
    from collab_asd.encoders import EncoderEntry
    from collab_asd.federation.client_data import ClientData
    from collab_asd.federation.grid import SupervisedGrid
    from collab_asd.federation.scoring import ClientScores, MachineScores
    from collab_asd.methods.costs import Bytes, Holding

log = logging.getLogger(__name__)
Shared: TypeAlias = Literal["nothing", "embeddings", "recordings", "statistics", "weights", "activations"]
"""What leaves the clients, beside the scores of their test clips."""


CATEGORIES = ("train", "evaluate", "query")
"""Of Flower's messages."""
TRAINING = ("epochs", "rounds", "learning-rate", "optimizer", "normalization", "class-head", "server-batches")
"""Keys of methods that train a network."""


class Method(Protocol):
    """The server's half of a method in one run."""

    watch: Stopwatch

    @property
    def encoder_note(self) -> str:
        """What a reader of the results must know of the encoder."""
        ...

    @property
    def tolerates_exclusion(self) -> bool:
        """Whether a run can go on without a client that failed."""
        ...

    def check_reply(self, client: int, request: Message, reply: Message) -> None:
        """Refuse a reply that cannot be used, by a ValueError: the client is asked again, or excluded."""
        ...

    def run(self, grid: SupervisedGrid) -> list[ClientScores]:
        """Train, and return every client's scores."""
        ...


Handler: TypeAlias = "Callable[[ClientData, RunConfig, RecordDict, RecordDict], RecordDict]"
"""Answers a message: client, configuration, the state of its Flower context, and content -> content of the reply."""


@dataclass(frozen=True)
class MethodSpec:
    """What there is to know of a method. Functions may be given as import strings (``"package.module:name"``).

    Parameters
    ----------
    summary : str
        What it does and what each site shares, for readers from outside the field.
    shares : str
        What leaves the clients; decides which attacks an audit carries out, and whether a deployment allows it.
    build_strategy : callable
        Configuration -> the server's half. Raises `InputError` where the configuration is none for this method.
    score : callable
        Client, configuration and the server's message -> the scores of each of the client's machines.
    handlers : mapping of str to callable
        By type (``"query.describe"``), the further messages that clients answer.
    encoders : tuple of str
        Encoders whose frames it can read; empty for all but those whose frames are the recording itself.
    scorer : str
        The scorer in the results, where the method and not the configuration decides it.
    describe_costs : callable, optional
        Configuration, facts of the encoder and what the clients hold -> what a run sends.
    no_use_for : tuple of str
        Keys that change nothing of what it does; a run that sets one is warned.
    """

    summary: str
    shares: Shared
    build_strategy: Lazy[Callable[[RunConfig], Method]]
    score: Lazy[Callable[[ClientData, RunConfig, RecordDict], list[MachineScores]]]
    handlers: Mapping[str, Lazy[Handler]] = field(default_factory=dict)
    encoders: tuple[str, ...] = ()
    scorer: str = ""
    describe_costs: Lazy[Callable[[RunConfig, EncoderEntry, Sequence[Holding]], Bytes]] | None = None
    no_use_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that Flower can route the messages."""
        for kind in self.handlers:
            category, dot, action = kind.partition(".")
            if category not in CATEGORIES or bool(dot) != action.isidentifier():
                raise InputError(f"handlers: {kind!r} is no message type; write {', '.join(CATEGORIES)}, or query.NAME")

    @property
    def is_collaborative(self) -> bool:
        """Whether anything is trained on several machines together."""
        return self.shares != "nothing"

    @property
    def tells_machines_apart(self) -> bool:
        """Whether each group needs two machines, because a classifier is to tell them apart."""
        return self.shares not in ("nothing", "statistics")

    @property
    def sends_frames(self) -> bool:
        """Whether the server gets frames of an encoder, be they embeddings or samples, and trains on them."""
        return self.shares in ("embeddings", "recordings")

    def reads(self, encoder: str) -> bool:
        """Whether the method can read the frames of an encoder."""
        return encoder in self.encoders if self.encoders else encoder not in RAW_ENCODERS


METHODS: Registry[MethodSpec] = Registry(
    "method",
    "collab_asd.methods",
    MethodSpec,
    {
        "embedding-sharing": "collab_asd.methods.embedding_sharing:METHOD",
        "covariance-sharing": "collab_asd.methods.covariance_sharing:METHOD",
        "centralized": "baselines.centralized:METHOD",
        "local-knn": "baselines.local:KNN",
        "local-mahalanobis": "baselines.local:MAHALANOBIS",
        "local-spectra": "baselines.local:SPECTRA",
        "fedavg": "baselines.fedavg:METHOD",
        "fedprox": "baselines.fedavg:METHOD",
        "fedavgm": "baselines.fedavg:METHOD",
        "fedmedian": "baselines.fedavg:METHOD",
        "fedtrimmedavg": "baselines.fedavg:METHOD",
        "fedadagrad": "baselines.fedavg:METHOD",
        "fedadam": "baselines.fedavg:METHOD",
        "fedyogi": "baselines.fedavg:METHOD",
        "split-learning": "baselines.split_learning:METHOD",
        "splitfed": "baselines.split_learning:METHOD",
        "local-vae": "baselines.local_networks:VAE",
        "local-vidnn": "baselines.local_networks:VIDNN",
        "local-glow": "baselines.local_networks:GLOW",
    },
)


def build_method(config: RunConfig) -> Method:
    """Build the server's half of the configured method.

    Raises
    ------
    InputError
        As `require_possible`; or the method refuses another key.
    """
    return load(require_possible(config).build_strategy)(config)


def require_possible(config: RunConfig) -> MethodSpec:
    """Return the configured method if it can do anything with the configured encoder and defences.

    Raises
    ------
    InputError
        It does not exist or cannot be imported, or has no use for a key: names both, and what goes together.
    """
    spec = METHODS.find(config.method)
    _require_defences(config, spec)
    for key in spec.no_use_for:
        field_name = key.replace("-", "_")
        if (value := getattr(config, field_name)) != getattr(RunConfig, field_name):
            _warn_of_no_use(config.method, key, value)
    if spec.reads(config.encoder):
        return spec
    if spec.encoders:
        raise InputError(
            f"method {config.method!r} reads frames of encoder {' or '.join(map(repr, spec.encoders))}, not of "
            f"{config.encoder!r}: add --encoder {spec.encoders[0]} (for flwr run: encoder='{spec.encoders[0]}')"
        )
    fitting = [name for name, other in METHODS.loadable() if config.encoder in other.encoders]
    raise InputError(
        f"method {config.method!r} does not learn from recordings as they are, which is what encoder "
        f"{config.encoder!r} gives: choose another encoder, or --method {' or '.join(fitting)}"
    )


def fewest_clients(config: RunConfig) -> int:
    """Return how many clients a run needs: those configured, or two where something is shared and one elsewhere."""
    return config.min_clients or (2 if METHODS.find(config.method).is_collaborative else 1)


@lru_cache
def _warn_of_no_use(method: str, key: str, value: object) -> None:
    """Warn once in each process: several parts of a program look whether a run is possible."""
    log.warning("%s = %s changes nothing: method %s has no use for this key; leave it out", key, value, method)


def _require_defences(config: RunConfig, spec: MethodSpec) -> None:
    wanted = {
        "rotation-key-file": bool(config.rotation_key_file),
        "noise-epsilon": config.noise_epsilon > 0,
        "erase": bool(config.erase),
    }
    for key, is_wanted in wanted.items():
        if is_wanted and spec.shares != "embeddings":
            protected = [name for name, other in METHODS.loadable() if other.shares == "embeddings"]
            raise InputError(
                f"{key}: method {config.method} shares no embeddings that it could protect; leave it out, or set "
                f"method = {' or '.join(protected)}"
            )
    if config.noise_key_file and not config.noise_epsilon:
        raise InputError("noise-key-file: there is no noise without a noise-epsilon above 0; set it, or leave both out")
