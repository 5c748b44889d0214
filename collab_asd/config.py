"""The run configuration: read once, checked once, frozen.

This module is the only reader of Flower's run config and of ``--set``. Flower enforces neither names nor types
(``epochs='seven'`` arrives as it is), so both are checked here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from collab_asd.errors import InputError

Inference = Literal["client", "server"]
GroupBy = Literal["machine-type", "all"]
Partitioning = Literal["machine", "dirichlet", "iid"]
Preset = Literal["fast", "paper"]
OpenL3Model = Literal["mel256-music", "mel256-env", "mel128-music", "mel128-env"]
FrontEnd = Literal["kapre", "legacy"]
OpenL3Backend = Literal["port", "package"]
Metric = Literal["euclidean", "cosine"]
Pooling = Literal["mean-embedding", "mean", "max", "top-k"]
Thresholding = Literal["gamma", "quantile"]
ClassHead = Literal["naive", "anchors", "fedaws"]
Normalization = Literal["batch", "group"]
ServerBatches = Literal["apart", "joined"]
OnFailure = Literal["exclude", "stop"]

KEY_FILES = ("encoder-key-file", "rotation-key-file", "noise-key-file")
SWITCH = {"true": True, "false": False}
LOWEST = {"threads": 1} | dict.fromkeys(("epochs", "rounds", "seed", "channel", "clients", "retries", "min_clients"), 0)


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result, one field per configuration key (``data_dir`` is ``data-dir``).

    `pyproject.toml` repeats the defaults with a comment on each key, since Flower reads them there.
    """

    method: str = "embedding-sharing"
    inference: Inference = "client"
    data_dir: str = ""
    group_by: GroupBy = "machine-type"
    channel: int = 0
    partition: Partitioning = "machine"
    dirichlet_alpha: float = 0.5
    clients: int = 0
    encoder: str = "random-conv"
    encoder_weights: str = ""
    encoder_key_file: str = ""
    openl3_model: OpenL3Model = "mel256-music"
    frontend: FrontEnd = "kapre"
    openl3_backend: OpenL3Backend = "port"
    preset: Preset = "fast"
    epochs: int = 0
    rounds: int = 0
    learning_rate: float = 0.0
    normalization: Normalization = "batch"
    class_head: ClassHead = "naive"
    server_batches: ServerBatches = "apart"
    scorer: str = "fusion"
    shared_scorer: str = "knn"
    local_scorer: str = "mahalanobis"
    metric: Metric = "euclidean"
    pooling: Pooling = "mean-embedding"
    threshold: Thresholding = "gamma"
    calibration: float = 0.2
    false_alarm_rate: float = 0.1
    codec: str = "pool:8+pca:64+int8"
    rotation_key_file: str = ""
    noise_epsilon: float = 0.0
    noise_delta: float = 1e-5
    noise_norm: float = 0.0
    noise_key_file: str = ""
    erase: str = ""
    page_megabytes: float = 32.0
    retain_embeddings: bool = False
    join: str = ""
    record_view: bool = False
    report_scores: bool = True
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    report: bool = True
    results_dir: str = ""
    cache_dir: str = ""
    min_clients: int = 0
    on_failure: OnFailure = "exclude"
    retries: int = 1
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        """Check the ranges that a type cannot say."""
        for name, low in LOWEST.items():
            if getattr(self, name) < low:
                raise InputError(f"{_key(name)} = {getattr(self, name)}: must be at least {low}")
        if not 0 < self.false_alarm_rate < 1:
            raise InputError(f"false-alarm-rate = {self.false_alarm_rate}: must lie between 0 and 1")
        if not 0 <= self.calibration < 1:
            raise InputError(f"calibration = {self.calibration}: must be at least 0 and less than 1")
        if self.learning_rate < 0:
            raise InputError(f"learning-rate = {self.learning_rate}: must be positive, or 0 for the preset's")
        if not 0 < self.dirichlet_alpha < math.inf:
            raise InputError(f"dirichlet-alpha = {self.dirichlet_alpha}: must be a positive number")
        if self.clients and not self.mixed:
            raise InputError(
                f"clients = {self.clients}: with partition = machine there is one client per machine; "
                "set partition to dirichlet or iid, or leave clients at 0"
            )
        for name in ("noise_epsilon", "noise_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{_key(name)} = {getattr(self, name)}: must be a positive number, or 0 for none")
        if not 0 < self.noise_delta < 1:
            raise InputError(f"noise-delta = {self.noise_delta}: must lie between 0 and 1, well below 1 / clips")
        for name, unit in {"timeout": "seconds", "page_megabytes": "megabytes"}.items():
            if getattr(self, name) <= 0:
                raise InputError(f"{_key(name)} = {getattr(self, name)}: must be a positive number of {unit}")

    @property
    def mixed(self) -> bool:
        """Whether several clients may hold clips of one machine."""
        return self.partition != "machine"

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from Flower's run config or from ``--set`` pairs; missing keys take their defaults.

        Raises
        ------
        InputError
            A key that does not exist, or a value of the wrong type or range: names the key and what is allowed.
        """
        hints = _hints()
        names = {_key(f.name): f.name for f in fields(cls)}
        for key in values:
            check_choice("configuration key", key, names)
        return cls(**{names[key]: _typed(key, value, hints[names[key]]) for key, value in values.items()})

    def without_secrets(self) -> dict[str, str | int | float | bool]:
        """Return `to_mapping`, but that there is a key file, and not where."""
        return {key: "(secret)" if key in KEY_FILES and value else value for key, value in self.to_mapping().items()}

    def to_mapping(self) -> dict[str, str | int | float | bool]:
        """Return the inverse of `from_mapping`, with the keys as a user writes them."""
        return {_key(name): value for name, value in asdict(self).items()}


def check_choice(what: str, value: str, allowed: Collection[str]) -> None:
    """Raise an `InputError` that lists the allowed names unless `value` is one of them."""
    if value not in allowed:
        raise InputError(f"{what} {value!r} does not exist: choose one of {', '.join(sorted(allowed))}")


def parse_assignment(text: str) -> tuple[str, str]:
    """Split ``KEY=VALUE`` as given to ``--set``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r}: write KEY=VALUE, for example --set scorer=knn")
    return key.strip(), value.strip()


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(RunConfig)


def _key(name: str) -> str:
    return name.replace("_", "-")


def _typed(key: str, value: Any, hint: Any) -> Any:
    """Return `value` as the type `hint`; text is parsed, a whole number may stand for a float."""
    if get_origin(hint) is Literal:
        check_choice(f"{key} =", value, get_args(hint))
        return value
    if isinstance(value, str) and hint is not str:
        return _parsed(key, value, hint)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise InputError(f"{key} = {value!r}: must be of type {hint.__name__}, not {type(value).__name__}")
    return value


def _parsed(key: str, text: str, hint: type) -> Any:
    if hint is bool:
        check_choice(f"{key} =", text, SWITCH)
        return SWITCH[text]
    try:
        return hint(text)
    except ValueError:
        raise InputError(f"{key} = {text!r}: must be of type {hint.__name__}") from None
