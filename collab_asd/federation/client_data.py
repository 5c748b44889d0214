"""A client's own recordings and embeddings. Nothing here is ever sent as it is."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from collab_asd.core.progress import step
from collab_asd.core.seeding import derive, keyed_hash
from collab_asd.core.types import PARTS, Clip, Encoder, FloatArray, MachineFrames, Part, Partition
from collab_asd.data.excerpts import by_recording, together
from collab_asd.data.partitions import calibration_clips
from collab_asd.data.recordings import file_sizes
from collab_asd.detection.second_order import ClipSpectrum
from collab_asd.federation.bases import BasisLedger

if TYPE_CHECKING:
    from collab_asd.encoders.cache import EmbeddingCache


NUMBER = re.compile(r"(\d+)", re.ASCII)


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

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Its clips by part, as of `PARTS`."""
        return self.train, self.calibration, self.test


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
        Share of each machine's training clips, in [0, 1), that the ID classifier is not to be trained on.
    shared_parts : sequence of {"train", "calibration", "test"}
        Parts of which a server may ask for embeddings, if the method shares them.
    told_of_encoder : str
        What the server is told of the encoder for the readers of its results; empty: the encoder's own note.
    bases : BasisLedger or None
        By which bases embeddings were sent before; None: it is not noted, and as many are used as are asked for.
    secret : bytes
        The key that its clips are numbered by, and that hides which clips it has.
    """

    partition: Partition
    encoder: Encoder
    cache: EmbeddingCache
    data_dir: Path
    calibration: float = 0.0
    shared_parts: Sequence[Part] = PARTS
    told_of_encoder: str = ""
    train_clips: int = 0
    seed: int = 0
    bases: BasisLedger | None = None
    secret: bytes = b""
    _sizes: dict[int, int] = field(default_factory=dict, init=False)  # of embeddings in the cache, by clip
    _machines: list[LocalMachine] = field(default_factory=list, init=False)  # once they were asked for

    def frames(self, indices: Sequence[int]) -> list[FloatArray]:
        """Embeddings ``[T, D]`` of some clips: from the cache on disk, computed where they are missing."""
        return [self.cache.encode(self.encoder, self.partition.clips[i]) for i in indices]

    def prepare(self, indices: Sequence[int]) -> list[int]:
        """Make sure that clips are embedded; returns the sizes of their embeddings in bytes."""
        clips, sizes = self.partition.clips, self._sizes
        found = {i: self.cache.size(self.encoder, clips[i]) for i in indices if i not in sizes}
        sizes |= {i: size for i, size in found.items() if size is not None}
        if missing := [i for i, size in found.items() if size is None]:
            what, done = f"client {self.partition.client}: embedding recordings", len(indices) - len(missing)
            with step(what, len(indices), done=done, cost=file_sizes(clips[i].path for i in missing)) as advance:
                faults = self.cache.encode_all(self.encoder, [clips[i] for i in missing])
                for i, fault in zip(missing, faults, strict=True):
                    if fault is not None:
                        raise fault
                    sizes[i] = self.cache.path(self.encoder.spec, clips[i]).stat().st_size
                    advance()
        return [sizes[i] for i in indices]

    def machine_frames(self, machine: LocalMachine, *, with_spectra: bool = False) -> MachineFrames:
        """Embeddings of one machine's clips, and summaries of their spectra where the client's own score needs them."""
        clips, parts = self.partition.clips, machine.parts
        place = machine.group, machine.machine_class
        recorded = recording_ranks([clips[i] for i in machine.normal])
        recordings = by_recording(clips[i].path for i in machine.normal)
        spectra = MachineFrames(*place, *map(self.spectra, parts)) if with_spectra else None
        frames = map(self.frames, parts)
        return MachineFrames(*place, *frames, spectra=spectra, recorded=recorded, recordings=recordings)

    def spectra(self, indices: Sequence[int]) -> list[FloatArray]:
        """Summaries ``[2 + segments, 128]`` of spectra: from the cache, computed where they are missing."""
        found, summarizer = [], ClipSpectrum()
        with step(f"client {self.partition.client}: spectra of recordings", len(indices)) as advance:
            for i in indices:
                found.append(self.cache.encode(summarizer, self.partition.clips[i]))
                advance()
        return found

    def indices(self, part: Part) -> list[int]:
        """Positions of the clips of one part, of all machines, in the order of the partition."""
        return sorted(i for machine in self.machines() for i in getattr(machine, part))

    def training_clips(self) -> list[int]:
        """Positions of the clips that f_s is trained on in the order of their content, which depends on no secret."""
        return self.partition.in_order_of_content(self.indices("train"))

    def clips_digest(self, indices: Iterable[int]) -> str:
        """Digest of the content of some clips by which the client is known again; without its secret it confirms none.

        The order does not matter.
        """
        content = "".join(sorted(self.partition.clips[i].sha256 for i in indices))
        return keyed_hash(self.secret, "clips", content.encode()).hex()

    def machines(self) -> list[LocalMachine]:
        """Return the machines of this client, in the order of group and class."""
        if not self._machines:
            self._machines[:] = local_machines(self.partition, self.calibration, self.train_clips, self.seed)
        return list(self._machines)


def local_machines(partition: Partition, calibration: float, train_clips: int = 0, seed: int = 0) -> list[LocalMachine]:
    """Divide the clips of each machine that a client holds; `calibration` as of `ClientData`.

    They are taken in the order of their content hashes, whatever their numbers are, so the first ones are a random
    sample. Clips that were cut from one recording are all for calibration or none is.
    """
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i in partition.in_order_of_content(range(len(partition.clips))):
        members[partition.groups[i], partition.classes[i]].append(i)
    machines = []
    for place, clips in sorted(members.items()):
        normal = [i for i in clips if partition.clips[i].split == "train"]
        if 0 < train_clips < len(normal):
            rng = np.random.default_rng(derive(seed, "train-clips", *place))
            normal = [normal[i] for i in sorted(rng.choice(len(normal), train_clips, replace=False).tolist())]
        test = [i for i in clips if partition.clips[i].split == "test"]
        kept = _calibration(partition, normal, calibration_clips(len(normal), calibration))
        train = tuple(i for i in normal if i not in kept)
        machines.append(LocalMachine(*place, train, tuple(kept), tuple(test)))
    return machines


def recording_ranks(clips: Sequence[Clip]) -> list[int]:
    """Return the rank of each clip in the order of recording, as far as file names tell: numbers count as numbers."""
    keys = [[int(part) if part.isdecimal() else part for part in NUMBER.split(str(clip.path))] for clip in clips]
    ranks = [0] * len(clips)
    for rank, i in enumerate(sorted(range(len(clips)), key=keys.__getitem__)):
        ranks[i] = rank
    return ranks


def _calibration(partition: Partition, normal: Sequence[int], count: int) -> dict[int, None]:
    """Return the first `count` clips; of long recordings, the first that are enough together, but no larger half."""
    kept: dict[int, None] = {}
    for positions in together(partition.clips[i].path for i in normal):
        of_one = [normal[position] for position in positions]
        if len(kept) < count and (len(of_one) == 1 or 2 * (len(kept) + len(of_one)) <= len(normal)):
            kept |= dict.fromkeys(of_one)
    return kept
