"""What a node lets a server ask of it, where its files lie, and what leaves it: decided here and nowhere else.

A node of a simulation does as the run's configuration says. A node of a deployment has a folder of its own, which
``data-dir`` in its SuperNode's ``--node-config`` names: what lies where is its own affair, what may be asked of it was
agreed on beforehand, and its scores stay with it.

Its paths must be plain ones that lead where they seem to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Context, RecordDict, UserConfigValue

from collab_asd.config import KEY_FILES, RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import results_dir
from collab_asd.core.runtime import pin_threads
from collab_asd.core.seeding import kept_key
from collab_asd.core.types import Clip, Encoder, Part, Partition
from collab_asd.data.excerpts import recording_of
from collab_asd.data.partitions import numbered, partition, simulated_secret
from collab_asd.data.run_data import data_folder, partitions_of_run, require_trainable, run_clips
from collab_asd.federation.agreement import OWN_KEYS, Agreement, layout_of_node
from collab_asd.federation.bases import BasisLedger
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.messages import content_bytes
from collab_asd.federation.pseudonyms import load_pseudonym_key, number_machines

if TYPE_CHECKING:
    from collab_asd.encoders.cache import EmbeddingCache

logger = logging.getLogger(__name__)
UNASKED = {
    "partition": "machine",
    "clients": 0,
    "recording-conditions": "",
    "join": "",
    "record-view": False,
    "report-scores": False,
}
"""Keys of a run that mean nothing to a client with a folder of its own."""
SECRET = "clip-numbers.key"
"""Beside the results of a node's runs: with another, a server that goes on with a run asks for all clips again."""


def _is_folder_to_be(path: Path) -> bool:
    return path.is_dir() or not path.exists()


def _is_source(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and path.suffix.lower() == ".csv")


KINDS: dict[str, tuple[str, Callable[[Path], bool]]] = {
    "data-dir": ("a folder of recordings, or a .csv file that lists them", _is_source),
    "encoder-weights": ("a file of weights, or a folder of them", Path.exists),
    **dict.fromkeys((*KEY_FILES, "pseudonym-key-file"), ("a key file", Path.is_file)),
    "agreement": ("the agreement's file", Path.is_file),
    "cache-dir": ("a folder", _is_folder_to_be),
    "results-dir": ("a folder", _is_folder_to_be),
}


def require_plain_paths(node: Mapping[str, object]) -> None:
    """Refuse paths that depend on where a process runs, lead up again, or name another kind of thing.

    Parameters
    ----------
    node : mapping
        The SuperNode's configuration; a path that is absent or empty names nothing.

    Raises
    ------
    InputError
        Names the key.
    """
    for key, (kind, fits) in KINDS.items():
        value = node.get(key, "")
        if not isinstance(value, str) or "\0" in value:
            raise InputError(f"node config: {key} = {value!r}: is no path")
        path = Path(value)
        if value and (not path.is_absolute() or ".." in path.parts):
            raise InputError(f"node config: {key} = {value}: write the whole path from the root on, without .. and ~")
        if value and not fits(path):
            raise InputError(f"node config: {key} = {value}: is not {kind}, or cannot be read")


def require_within(clips: Sequence[Clip], data_dir: Path) -> None:
    """Refuse recordings of a folder that are links to somewhere else; a table may name any file.

    Raises
    ------
    InputError
        Names the first.
    """
    if data_dir.is_file():
        return
    root = data_dir.resolve()
    for clip in clips:
        file = recording_of(clip.path)
        if not file.resolve().is_relative_to(root):
            raise InputError(
                f"{file}: is a link to {file.resolve()}, outside of data-dir; copy the recording, or list "
                "what is meant in a .csv file"
            )


class NodePolicy:
    """The policy of a node of a simulation: whatever the run's configuration says.

    Parameters
    ----------
    context : Context
        Of the SuperNode in the run.
    """

    private = False
    """Whether the node has a folder of its own. The server is told at the greeting."""

    def __init__(self, context: Context) -> None:
        self._context, self._node = context, context.node_config

    @property
    def number(self) -> tuple[int, int]:
        """Which client this node is, and of how many.

        Raises
        ------
        InputError
            A deployment gave it no number among so many.
        """
        return int(self._node.get("partition-id", 0)), int(self._node.get("num-partitions", 1))

    @cached_property
    def config(self) -> RunConfig:
        """The run's configuration as this node lets it be.

        Raises
        ------
        InputError
            It cannot be read, or asks for what was not agreed on: nothing has been read yet.
        """
        return _parse(tuple(self._context.run_config.items()))

    def open(self) -> ClientData:
        """Open the recordings, the encoder and the cache of this client.

        Raises
        ------
        InputError
            The data folder, the encoder's weights or its key cannot be used.
        """
        pin_threads(self.config.threads)
        return _open_share(self._context.run_id, self.config, *self.number)

    @property
    def results(self) -> Path:
        """The folder into which the client's detectors and embeddings go."""
        return results_dir(self.config.results_dir, self._context.run_id)

    @property
    def scores_folder(self) -> Path | None:
        """The folder in which the client keeps its scores; None where it reports them to the server."""
        return None if self.config.report_scores else self.results / f"client-{self.number[0]}"

    def note_reply(self, kind: str, content: RecordDict) -> None:
        """Note down what leaves the node: nobody asks in a simulation."""


class DeploymentPolicy(NodePolicy):
    """The policy of a node with a folder of its own."""

    private = True

    @property
    def number(self) -> tuple[int, int]:
        """See `NodePolicy`."""
        client, clients = self._node.get("client"), self._node.get("clients")
        if not isinstance(client, int) or not isinstance(clients, int) or not 0 <= client < clients:
            raise InputError(f"node config: client = {client} of clients = {clients}; number the clients from 0")
        return client, clients

    @cached_property
    def agreement(self) -> Agreement:
        """What was agreed on.

        Raises
        ------
        InputError
            The file cannot be read, or a path in the node's configuration is not plain.
        """
        require_plain_paths(self._node)
        return Agreement.load(str(self._node.get("agreement", "")))

    @cached_property
    def config(self) -> RunConfig:
        """See `NodePolicy`. Paths are the node's own: none of the server's is used."""
        self.agreement.require_agreed(_parse(tuple(self._context.run_config.items())))
        own = {key: str(self._node.get(key, "")) for key in OWN_KEYS}
        agreed = {} if self.agreement.covariances else {"share-covariances": False}
        own["device"] = str(self._node.get("device", RunConfig.device))
        if not own["data-dir"]:
            raise InputError("data-dir: is empty; name the folder of your recordings in node.toml")
        own["layout"] = layout_of_node(own["data-dir"], str(self._context.run_config.get("layout", "")))
        if own["results-dir"]:
            own["results-dir"] += f"/run-{self._context.run_id}"
        return RunConfig.from_mapping(self._context.run_config | UNASKED | agreed | own)

    def open(self) -> ClientData:
        """See `NodePolicy`; refuses another encoder than was agreed on, too."""
        pin_threads(self.config.threads)
        self.agreement.require_encoder(_encoder_and_cache(self.config)[0].spec.digest)
        key_file = str(self._node.get("pseudonym-key-file", ""))
        return _open_own_folder(self._context.run_id, self.config, self.number[0], key_file, self.agreement.bases)

    @property
    def scores_folder(self) -> Path:
        """See `NodePolicy`."""
        return self.results

    def note_reply(self, kind: str, content: RecordDict) -> None:
        """See `NodePolicy`."""
        logger.info("%s: %d bytes leave", kind, content_bytes(content))


def policy_of(context: Context) -> NodePolicy:
    """Return the policy of the node that a context is of."""
    return DeploymentPolicy(context) if "data-dir" in context.node_config else NodePolicy(context)


@lru_cache(maxsize=32)
def _parse(run_config: tuple[tuple[str, UserConfigValue], ...]) -> RunConfig:
    """Read a run's configuration, which comes with every message."""
    return RunConfig.from_mapping(dict(run_config))


@lru_cache(maxsize=32)
def _open_share(run_id: int, config: RunConfig, client: int, clients: int) -> ClientData:
    """Open one client's share of a folder."""
    partitions = partitions_of_run(run_id, config, clients)
    if client >= len(partitions):
        raise InputError(f"client {client} holds no machine: {config.data_dir} has {len(partitions)}")
    encoder, cache = _encoder_and_cache(config)
    return ClientData(
        partitions[client],
        encoder,
        cache,
        data_folder(config, clients),
        config.calibration,
        train_clips=config.train_clips,
        seed=config.seed,
        secret=simulated_secret(config.seed),
    )


@lru_cache(maxsize=32)
def _open_own_folder(run_id: int, config: RunConfig, client: int, key_file: str, bases: int) -> ClientData:
    """Open a folder that is this client's alone; a new run looks again.

    No more clips may be asked for than the method needs, and no name of a file is told.
    """
    results = results_dir(config.results_dir, run_id)
    secret = kept_key(results.parent / SECRET)
    held, (encoder, cache) = _own_machines(config, client, key_file, secret), _encoder_and_cache(config)
    shared: Sequence[Part] = ("train",) if config.inference == "client" else ("train", "calibration", "test")
    return ClientData(
        held,
        encoder,
        cache,
        data_folder(config, 1),
        config.calibration,
        shared_parts=shared,
        train_clips=config.train_clips,
        seed=config.seed,
        told_of_encoder=f"{encoder.spec.name}, digest {encoder.spec.digest[:12]}",
        bases=BasisLedger.of_node(results.parent, encoder.spec.digest, run_id, bases),
        secret=secret,
    )


def _own_machines(config: RunConfig, client: int, key_file: str, secret: bytes) -> Partition:
    """All machines and clips of this client's folder, numbered so that a server learns no order and no name.

    Parameters
    ----------
    config : RunConfig
    client : int
        Number of the client in its consortium.
    key_file : str
        The key that hides machine types; empty: none.
    secret : bytes
        This client's own, which the numbers follow from.

    Raises
    ------
    InputError
        The folder or the key cannot be used, or the recordings would make the run come out wrong.
    """
    clips = run_clips(config, 1)
    require_within(clips, data_folder(config, 1))
    places = number_machines(clips, client, config.grouping, load_pseudonym_key(key_file), secret)
    (held,) = partition([clips], places)
    require_trainable(config, [held], shares=False)
    return numbered(replace(held, client=client), secret)


@lru_cache(maxsize=2)
def _encoder_and_cache(config: RunConfig) -> tuple[Encoder, EmbeddingCache]:
    from collab_asd import encoders
    from collab_asd.core.files import cache_dir
    from collab_asd.encoders.cache import EmbeddingCache

    return encoders.build(config), EmbeddingCache(cache_dir(config.cache_dir) / "embeddings")
