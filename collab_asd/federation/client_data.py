"""A client's own recordings and embeddings. Nothing here is ever sent as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Context

from collab_asd.config import RunConfig
from collab_asd.data.partition import calibration_clips
from collab_asd.data.recordings import file_sizes
from collab_asd.data.run_data import data_folder, load_partitions
from collab_asd.errors import InputError
from collab_asd.federation.private import agreement_of, is_private, own_partition, private_config
from collab_asd.interfaces import Encoder, FloatArray, MachineFrames, Part, Partition
from collab_asd.progress import step
from collab_asd.threads import pin_threads

if TYPE_CHECKING:
    from collab_asd.encoders.cache import EmbeddingCache


@dataclass(frozen=True)
class LocalMachine:
    """One machine of a client: its group, its class within the group, and where its clips stand in the partition."""

    group: int
    machine_class: int
    train: tuple[int, ...]
    calibration: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def normal(self) -> tuple[int, ...]:
        """All normal clips, those for calibration last."""
        return self.train + self.calibration


@dataclass(frozen=True, eq=False)
class ClientData:
    """What a client's handlers work on; the same object in every message of a run that one process answers.

    Parameters
    ----------
    partition : Partition
    encoder : Encoder
    cache : EmbeddingCache
    data_dir : Path
        What the clips were found in.
    calibration : float
        Share of each machine's training clips, in [0, 1), that f_s is not to be trained on.
    private : bool
        Whether the folder is this client's own, as in a deployment.
    """

    partition: Partition
    encoder: Encoder
    cache: EmbeddingCache
    data_dir: Path
    calibration: float = 0.0
    private: bool = False

    def frames(self, indices: Sequence[int]) -> list[FloatArray]:
        """Embeddings ``[T, D]`` of some clips: from the cache on disk, computed where they are missing."""
        return [self.cache.encode(self.encoder, self.partition.clips[i]) for i in indices]

    def prepare(self, indices: Sequence[int]) -> list[int]:
        """Make sure that clips are embedded; returns the sizes of their embeddings in bytes."""
        clips = [self.partition.clips[i] for i in indices]
        if missing := [clip for clip in clips if not self.cache.holds(self.encoder, clip)]:
            what, cost = f"client {self.partition.client}: embedding recordings", file_sizes(c.path for c in missing)
            with step(what, len(clips), done=len(clips) - len(missing), cost=cost) as advance:
                for clip in missing:
                    self.cache.prepare(self.encoder, clip)
                    advance()
        return [self.cache.prepare(self.encoder, clip) for clip in clips]

    def machine_frames(self, machine: LocalMachine) -> MachineFrames:
        """Embeddings of one machine's clips."""
        parts = (self.frames(part) for part in (machine.train, machine.calibration, machine.test))
        return MachineFrames(machine.group, machine.machine_class, *parts)

    def indices(self, part: Part) -> list[int]:
        """Positions of the clips of one part, of all machines, in the order of the partition."""
        return sorted(i for machine in self.machines() for i in getattr(machine, part))

    def machines(self) -> list[LocalMachine]:
        """Return the machines of this client, in the order of group and class."""
        return local_machines(self.partition, self.calibration)


def local_machines(partition: Partition, calibration: float) -> list[LocalMachine]:
    """Divide the clips of each machine that a client holds; `calibration` as of `ClientData`.

    Clips are in the order of their hashes, so the first ones are a random sample.
    """
    placed = list(zip(partition.groups, partition.classes, strict=True))
    members = {place: [i for i, other in enumerate(placed) if other == place] for place in sorted(set(placed))}
    return [_divided(partition, place, own, calibration) for place, own in members.items()]


def _divided(partition: Partition, place: tuple[int, int], members: Sequence[int], calibration: float) -> LocalMachine:
    normal = [i for i in members if partition.clips[i].split == "train"]
    test = [i for i in members if partition.clips[i].split == "test"]
    held = calibration_clips(len(normal), calibration)
    return LocalMachine(*place, tuple(normal[held:]), tuple(normal[:held]), tuple(test))


def client_number(context: Context) -> tuple[int, int]:
    """Return which client this SuperNode is, and of how many.

    Raises
    ------
    InputError
        It has a folder of its own, and no number among so many.
    """
    node = context.node_config
    if not is_private(context):
        return int(node.get("partition-id", 0)), int(node.get("num-partitions", 1))
    client, clients = node.get("client"), node.get("clients")
    if not isinstance(client, int) or not isinstance(clients, int) or not 0 <= client < clients:
        raise InputError(f"node config: client = {client} of clients = {clients}; number the clients from 0")
    return client, clients


def client_config(context: Context) -> RunConfig:
    """Return the run's configuration as this client sees it.

    In a deployment a SuperNode's ``--node-config`` gives what is its own: where its recordings, weights, key and cache
    lie. Such paths never stand in the run config, which the server sees.

    Raises
    ------
    InputError
        It cannot be read, or asks a client with a folder of its own for what was not agreed on.
    """
    return private_config(context) if is_private(context) else RunConfig.from_mapping(context.run_config)


def open_client(context: Context) -> ClientData:
    """Open the recordings, the encoder and the cache of the client that this SuperNode is.

    Raises
    ------
    InputError
        The data folder, the encoder's weights or its key cannot be used.
    """
    config = client_config(context)
    pin_threads(config.threads)
    if not is_private(context):
        return _open(context.run_id, config, *client_number(context))
    agreement_of(context).require_encoder(_encoder_and_cache(config)[0].spec.digest)
    key_file = str(context.node_config.get("pseudonym-key-file", ""))
    return _open_own(context.run_id, config, client_number(context)[0], key_file)


@lru_cache(maxsize=32)
def _open(run_id: int, config: RunConfig, client: int, clients: int) -> ClientData:
    partitions = _partitions(run_id, config, clients)
    if client >= len(partitions):
        raise InputError(f"client {client} holds no machine: {config.data_dir} has {len(partitions)}")
    encoder, cache = _encoder_and_cache(config)
    return ClientData(partitions[client], encoder, cache, data_folder(config, clients), config.calibration)


@lru_cache(maxsize=32)
def _open_own(run_id: int, config: RunConfig, client: int, key_file: str) -> ClientData:
    """Open a folder that is this client's alone; a new run looks again."""
    held, (encoder, cache) = own_partition(config, client, key_file), _encoder_and_cache(config)
    return ClientData(held, encoder, cache, data_folder(config, 1), config.calibration, private=True)


@lru_cache(maxsize=4)
def _partitions(run_id: int, config: RunConfig, clients: int) -> list[Partition]:
    """Read the folder once per process and run; a new run looks again."""
    return load_partitions(config, clients)


@lru_cache(maxsize=2)
def _encoder_and_cache(config: RunConfig) -> tuple[Encoder, EmbeddingCache]:
    from collab_asd import encoders
    from collab_asd.encoders.cache import EmbeddingCache
    from collab_asd.paths import cache_dir

    return encoders.build(config), EmbeddingCache(cache_dir(config.cache_dir) / "embeddings")
