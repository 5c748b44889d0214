"""The run configuration: read once, checked once, frozen.

This module is the only reader of Flower's run config and of ``--set``. Flower enforces neither names nor types
(``epochs='seven'`` arrives as it is), so both are checked here. Each field of `RunConfig` carries its description and
its range: `collab-asd config` prints them, and a test compares defaults and comments in `pyproject.toml` with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args, get_origin, get_type_hints

from collab_asd.core.errors import InputError, kind_words

Inference = Literal["client", "server"]
GroupBy = Literal["machine-type", "section", "attribute", "all"]
Partitioning = Literal["machine", "section", "attribute", "dirichlet", "iid"]
Preset = Literal["fast", "paper"]
OpenL3Model = Literal["mel256-music", "mel256-env", "mel128-music", "mel128-env"]
FrontEnd = Literal["kapre", "legacy"]
OpenL3Backend = Literal["port", "package"]
Precision = Literal["fp32", "bf16"]
LocalFeatures = Literal["logmel", "encoder"]
Metric = Literal["euclidean", "cosine"]
Pooling = Literal["mean-embedding", "mean", "max", "top-k"]
Thresholding = Literal["gamma", "quantile"]
ClassHead = Literal["naive", "anchors", "fedaws"]
Optimizer = Literal["adamw", "sgd"]
Normalization = Literal["batch", "group"]
ServerBatches = Literal["apart", "joined"]
OnFailure = Literal["exclude", "stop"]

SECTION_V = {"codec": "fp32", "calibration": 0.0, "scorer": "knn", "pooling": "mean"}
"""What preset ``paper`` says beside the training: frames as they are, none held back, 2-NN of each window, averaged."""
KEY_FILES = ("encoder-key-file", "rotation-key-file", "noise-key-file")
SWITCH = {"true": True, "false": False}
DEVICE = re.compile(r"auto|cpu|(cuda|mps|xpu)(:(0|[1-9][0-9]?))?")
MOST_SUGGESTED, FEW = 3, 24  # names: suggested for a mistyped one, and listed where none is near it


class Range(NamedTuple):
    """Which numbers a key accepts: in words, and as a test."""

    words: str
    holds: Callable[[float], bool]


NOT_NEGATIVE = Range("at least 0", lambda x: x >= 0)
COUNT = Range("at least 1", lambda x: x >= 1)
POSITIVE = Range("a positive number", lambda x: 0 < x < math.inf)
ABOVE_ZERO = Range("a positive number", lambda x: x > 0)  # which may be infinity
ZERO_OR_POSITIVE = Range("a positive number, or 0", lambda x: 0 <= x < math.inf)
FRACTION = Range("between 0 and 1, both excluded", lambda x: 0 < x < 1)
SHARE = Range("at least 0 and less than 1", lambda x: 0 <= x < 1)


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result, one field per configuration key (``data_dir`` is ``data-dir``).

    `pyproject.toml` repeats defaults and descriptions, since Flower reads the defaults there.
    """

    method: Annotated[
        str, "method to run: embedding-sharing, centralized, local-knn, local-mahalanobis, fedavg, split-learning, …"
    ] = "embedding-sharing"
    inference: Annotated[
        Inference, "who holds the ID classifier and scores: client (Algorithm 1), server (Algorithm 2)"
    ] = "client"
    data_dir: Annotated[
        str, "recordings: folder of a known layout, or CSV file; empty: synthetic machines, one per SuperNode"
    ] = ""
    layout: Annotated[
        str, "how the recordings are laid out: DCASE, DCASE-sections, MIMII, folders, …; empty: told from the folder"
    ] = ""
    clip_seconds: Annotated[
        float, "length of the clips, s, that longer recordings are cut into; 0: none is cut", ZERO_OR_POSITIVE
    ] = 0.0
    group_by: Annotated[
        GroupBy, "machines that share an ID classifier: machine-type (as in the paper), section (ID), attribute, all"
    ] = "machine-type"
    channel: Annotated[int, "channel of each recording to use, counted from 0", NOT_NEGATIVE] = 0
    skip_bad: Annotated[bool, "leave out recordings that cannot be used, in place of refusing the data"] = False
    allow_mixed: Annotated[
        bool, "train on machines whose recordings differ in sample rate, bandwidth, offset, padding or channels"
    ] = False
    recording_conditions: Annotated[
        str,
        "microphone, noise and neighbour of each machine's own: response-3+noise-10, …; empty: as recorded",
    ] = ""
    partition: Annotated[
        Partitioning,
        "who holds which clips: machine (one client each), section (ID), attribute, or mixtures: dirichlet, iid",
    ] = "machine"
    attribute: Annotated[
        str, "for partition or group-by attribute: which one, such as domain or load; each value is a client or group"
    ] = ""
    dirichlet_alpha: Annotated[
        float,
        "for partition dirichlet: near 0 each machine is held by one client; the larger, the more even (iid)",
        POSITIVE,
    ] = 0.5
    clients: Annotated[
        int, "number of clients, for partition dirichlet and iid; 0: as many as there are machines", NOT_NEGATIVE
    ] = 0
    encoder: Annotated[
        str, "encoder: random-conv, logmel, yamnet, openl3-512, panns, efficientat, …; for centralized: waveform"
    ] = "random-conv"
    encoder_weights: Annotated[
        str, "file of pre-trained weights, or a folder of them; empty: downloaded once, verified and kept"
    ] = ""
    encoder_key_file: Annotated[str, "for random-conv: file with the clients' secret key; empty: a public demo key"] = (
        ""
    )
    train_clips: Annotated[
        int,
        "normal clips that a client uses of each machine, drawn by the seed: how few are enough; 0: all",
        NOT_NEGATIVE,
    ] = 0
    openl3_model: Annotated[
        OpenL3Model, "mel bands and training data of OpenL3: mel256-music, mel256-env, mel128-music, mel128-env"
    ] = "mel256-music"
    frontend: Annotated[
        FrontEnd, "spectra of OpenL3: kapre (package 0.4 and later), legacy (up to 0.3.1, as the weights were trained)"
    ] = "kapre"
    openl3_backend: Annotated[
        OpenL3Backend, "what computes OpenL3: port (PyTorch), package (openl3 itself, where it is installed)"
    ] = "port"
    preset: Annotated[
        Preset,
        "training of the ID classifier and local networks: fast (ours), paper (all of section V; slow)",
    ] = "fast"
    epochs: Annotated[
        int,
        "epochs of the ID classifier or of a local network; 0: by preset, the ID classifier 3 (fast) or 20 (paper)",
        NOT_NEGATIVE,
    ] = 0
    rounds: Annotated[
        int,
        "rounds of federated averaging and split learning, of the same windows in all; 0: 21, with preset paper 20",
        NOT_NEGATIVE,
    ] = 0
    learning_rate: Annotated[
        float, "learning rate of the ID classifier; 0: as the preset says, or 0.1 for sgd", ZERO_OR_POSITIVE
    ] = 0.0
    optimizer: Annotated[
        Optimizer, "optimizer of the ID classifier: adamw, sgd (plain, which keeps nothing from step to step)"
    ] = "adamw"
    normalization: Annotated[
        Normalization,
        "normalization in the ID classifier: batch (statistics of the batch), group (of each window alone)",
    ] = "batch"
    class_head: Annotated[
        ClassHead, "class directions of federated methods: naive (trained with the loss), anchors (fixed), fedaws"
    ] = "naive"
    server_batches: Annotated[
        ServerBatches, "for splitfed, what the server learns from in one step: each client's batch apart, or all joined"
    ] = "apart"
    scorer: Annotated[
        str, "anomaly scorer: fusion (shared and local space), or the shared space alone: knn, lof, mahalanobis, gmm"
    ] = "fusion"
    shared_scorer: Annotated[str, "scorer that fusion uses in the shared space: knn, lof, mahalanobis, gmm"] = "knn"
    local_scorer: Annotated[
        str, "scorer that fusion uses in the client's own embedding space: knn, lof, mahalanobis, gmm"
    ] = "mahalanobis"
    local_features: Annotated[
        LocalFeatures,
        "what fusion's local score looks at: logmel (recording, whatever the encoder), encoder",
    ] = "logmel"
    metric: Annotated[Metric, "distance in embedding space: euclidean, cosine"] = "euclidean"
    pooling: Annotated[Pooling, "how the windows of a clip become its score: mean-embedding, mean, max, top-k"] = (
        "mean-embedding"
    )
    threshold: Annotated[
        Thresholding, "threshold from the client's own normal clips: gamma (fitted distribution), quantile"
    ] = "gamma"
    calibration: Annotated[
        float, "share of a client's normal clips kept from training the ID classifier, to set thresholds", SHARE
    ] = 0.2
    false_alarm_rate: Annotated[float, "share of normal clips that may be called anomalous", FRACTION] = 0.1
    codec: Annotated[
        str, "how embeddings travel: any of pool:N, every:N, pca:N, then one of fp32, fp16, int8, pq:N, joined by +"
    ] = "pool:8+pca:64+int8"
    share_covariances: Annotated[
        bool,
        "embedding sharing: clients tell how their clips vary, too, 132 kB per machine; needs local-features = logmel",
    ] = True
    rotation_key_file: Annotated[
        str, "file with the clients' secret key of a rotation of the embeddings (no protection to rely on); empty: none"
    ] = ""
    noise_epsilon: Annotated[
        float,
        "(epsilon, delta)-differential privacy of each clip by Gaussian noise; 0: none; above 10: no guarantee",
        ZERO_OR_POSITIVE,
    ] = 0.0
    noise_delta: Annotated[
        float, "delta of the guarantee of noise-epsilon; well below 1 / number of clips", FRACTION
    ] = 1e-5
    noise_norm: Annotated[
        float,
        "distance from a public centre to which embeddings are clipped before noise; 0: chosen automatically",
        ZERO_OR_POSITIVE,
    ] = 0.0
    noise_key_file: Annotated[
        str, "file with this client's own key to draw its noise from; only with noise-epsilon"
    ] = ""
    erase: Annotated[
        str, "column of metadata.csv in the data folder, such as factory, to hide from linear maps; empty: none"
    ] = ""
    page_megabytes: Annotated[float, "largest size of a page of embeddings, MB", POSITIVE] = 32.0
    retain_embeddings: Annotated[
        bool, "whether the server keeps embeddings after the run, so that a machine can join later"
    ] = False
    join: Annotated[
        str, "result folder of an earlier run that new machines among the data join; the others are not asked again"
    ] = ""
    record_view: Annotated[bool, "write all messages into the result folder, for `collab-asd audit`"] = False
    report_scores: Annotated[
        bool, "clients tell the server their test scores; false: they keep them, and there is no AUC"
    ] = True
    seed: Annotated[int, "seed of everything random, the public demo key included", NOT_NEGATIVE] = 0
    device: Annotated[
        str, "PyTorch device for encoders and all training: cpu, cuda, cuda:N, mps, xpu; auto: the best there is"
    ] = "cpu"
    precision: Annotated[
        Precision, "of encoders' networks: fp32, or bf16, which is faster where the processor has it"
    ] = "fp32"
    threads: Annotated[
        int,
        "threads of PyTorch and BLAS per process; the light ID classifier is trained in one, whatever their number",
        COUNT,
    ] = 1
    report: Annotated[bool, "draw report.html when the run is done"] = True
    results_dir: Annotated[str, "result folder, new or empty; empty: a folder in the user's data folder"] = ""
    cache_dir: Annotated[
        str, "cache of embeddings, trained models, weights, synthetic machines; empty: the user's cache folder"
    ] = ""
    min_clients: Annotated[
        int,
        "fewest SuperNodes that a run may start and go on with; 0: two if something is shared, else one",
        NOT_NEGATIVE,
    ] = 0
    timeout: Annotated[float, "seconds to wait for the slowest client", ABOVE_ZERO] = 3600.0
    on_failure: Annotated[
        OnFailure, "a client that fails: exclude it and go on (embedding sharing alone), or stop the run"
    ] = "exclude"
    retries: Annotated[int, "how often a client that failed is asked again", NOT_NEGATIVE] = 1

    def __post_init__(self) -> None:
        """Check the ranges that a type cannot say; fill in what preset ``paper`` says of keys that nobody has set.

        Flower passes all keys on, set or not: where each of them has its default, none was set.
        """
        if self.preset == "paper" and all(getattr(self, k) == getattr(RunConfig, k) for k in SECTION_V):
            for field, value in SECTION_V.items():
                object.__setattr__(self, field, value)
        for setting in settings().values():
            value = getattr(self, setting.field)
            if setting.range is not None and not setting.range.holds(value):
                raise InputError(f"{setting.key} = {value}: must be {setting.range.words}")
        if not DEVICE.fullmatch(self.device):
            raise InputError(f"device = {self.device!r}: must be auto, cpu, cuda, cuda:N, mps or xpu")
        if self.clients and self.partition not in ("dirichlet", "iid"):
            raise InputError(
                f"clients = {self.clients}: partition = {self.partition} makes one client per {self.partition}; "
                "set partition to dirichlet or iid, or leave clients at 0"
            )

        if bool(self.attribute) != ("attribute" in (self.partition, self.group_by)):
            raise InputError(
                f"attribute = {self.attribute!r}: goes with partition = attribute or group-by = attribute; "
                "name one, such as domain, with either, or leave it empty"
            )

    @property
    def grouping(self) -> str:
        """What machines share an ID classifier by, in one word: ``"machine-type"``, ``"attribute:load"``."""
        return f"attribute:{self.attribute}" if self.group_by == "attribute" else self.group_by

    @property
    def mixed(self) -> bool:
        """Whether several clients may hold clips of one machine."""
        return self.partition != "machine"

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from Flower's run config or from ``--set`` pairs; missing keys take their defaults, or the preset's.

        Raises
        ------
        InputError
            A key that does not exist, or a value of the wrong type or range: names the key and what is allowed.
        """
        known = settings()
        for key in values:
            check_choice("configuration key", key, known, see="`collab-asd config` describes all keys")
        if values.get("preset") == "paper":
            values = SECTION_V | dict(values)
        return cls(**{known[key].field: _typed(key, value, known[key].type) for key, value in values.items()})

    def without_secrets(self) -> dict[str, str | int | float | bool]:
        """Return `to_mapping`, but that there is a key file, and not where."""
        return {key: "(secret)" if key in KEY_FILES and value else value for key, value in self.to_mapping().items()}

    def to_mapping(self) -> dict[str, str | int | float | bool]:
        """Return the inverse of `from_mapping`, with the keys as a user writes them."""
        return {_key(name): value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Setting:
    """What there is to know of a configuration key.

    Parameters
    ----------
    key, field : str
        As a user writes it (``data-dir``), and the field of `RunConfig` (``data_dir``).
    type : type
        ``str``, ``int``, ``float``, ``bool`` or a ``Literal``.
    default : str, int, float or bool
    description : str
        One line.
    range : Range or None
        Numbers that it accepts, where not all.
    """

    key: str
    field: str
    type: Any
    default: str | int | float | bool
    description: str
    range: Range | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it accepts, where its type lists them."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    def stands_for(self, value: str | float) -> str:
        """Return what 0 or an empty string means, as the description says it; empty for other values."""
        written = {"": "empty", "0": "0", "0.0": "0"}.get(str(value))
        found = re.search(rf"\b{written}: ([^;]+)", self.description)
        return found[1] if found else ""


@cache
def settings() -> dict[str, Setting]:
    """Return all configuration keys in the order of `RunConfig`, by key."""
    found = {}
    for f, hint in zip(fields(RunConfig), get_type_hints(RunConfig, include_extras=True).values(), strict=True):
        description, *ranges = hint.__metadata__
        default = getattr(RunConfig, f.name)
        found[_key(f.name)] = Setting(_key(f.name), f.name, hint.__origin__, default, description, *ranges)
    return found


def check_choice(what: str, value: str, allowed: Collection[str], see: str = "") -> None:
    """Raise an `InputError` unless `value` is one of the allowed names: suggests the nearest, or lists all.

    Parameters
    ----------
    what : str
        What the value is meant to name, as the message begins.
    value : str
    allowed : collection of str
    see : str
        Where all names are described; stands for the list where that would be long.
    """
    if value in allowed:
        return
    everything = f"choose one of {', '.join(sorted(allowed))}"
    if near := nearest(value, allowed):
        *others, last = map(repr, near)
        advice = f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?{f' {see}' if see else ''}"
    else:
        advice = see if see and len(allowed) > FEW else everything
    raise InputError(f"{what} {value!r} does not exist: {advice}")


def nearest(value: str, names: Collection[str]) -> list[str]:
    """Return up to three names that a mistyped value may stand for, the most similar first."""
    plain = value.lower().replace("_", "-")
    by_plain = {name.lower().replace("_", "-"): name for name in names}
    similar = get_close_matches(plain, by_plain, MOST_SUGGESTED)
    holding = [name for name in by_plain if len(plain) >= MOST_SUGGESTED and plain in name]
    return [by_plain[name] for name in dict.fromkeys([*similar, *holding])][:MOST_SUGGESTED]


def parse_assignment(text: str) -> tuple[str, str]:
    """Split ``KEY=VALUE`` as given to ``--set``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r}: write KEY=VALUE, for example --set scorer=knn")
    return key.strip(), value.strip()


def _key(name: str) -> str:
    return name.replace("_", "-")


SEE = "; `collab-asd config {}` describes it"


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
        raise InputError(f"{key} = {value!r}: must be {kind_words(hint)}{SEE.format(key)}")
    return value


def _parsed(key: str, text: str, hint: type) -> Any:
    if hint is bool:
        check_choice(f"{key} =", text, SWITCH)
        return SWITCH[text]
    try:
        return hint(text)
    except ValueError:
        raise InputError(f"{key} = {text!r}: must be {kind_words(hint)}{SEE.format(key)}") from None
