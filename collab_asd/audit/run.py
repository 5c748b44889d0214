"""A finished run as its auditor sees it: the recorded view, and the recordings that tell how right an adversary is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from collab_asd import encoders
from collab_asd.audit.observations import FeatureExtractor, ObservedClip, Tags, pooled, tags_of
from collab_asd.audit.spectra import Timing
from collab_asd.audit.view import View
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir
from collab_asd.core.runtime import resolve_device
from collab_asd.core.types import Clip, Encoder, Partition
from collab_asd.data.manifest import difference, manifest_rows, read_manifest
from collab_asd.data.run_data import data_folder, load_partitions
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.results import read_config
from collab_asd.methods import METHODS
from collab_asd.methods.embedding_sharing.pages import codec_of
from collab_asd.wire.codecs import Codec, parse
from collab_asd.wire.defences.chain import Defences, open_defences

VIEW = "view"
TRAINED_ON = 0
ADVERSARYS_KEY = b"what an adversary draws noise from"


@dataclass(frozen=True)
class AuditedRun:
    """What an audit works on.

    Parameters
    ----------
    results : Path
        Its folder.
    config : RunConfig
    view : View
    codec : Codec
        What embeddings travelled through; one that changes nothing where none did.
    encoder : Encoder
        f_c.
    defences : Defences
        What the clients have in common beside the codec: noise, of which the key is the adversary's own, and rotation.
    partitions : sequence of Partition
        The clients' recordings.
    folder : Path
        Of the recordings.
    """

    results: Path
    config: RunConfig
    view: View
    codec: Codec
    encoder: Encoder
    defences: Defences
    partitions: tuple[Partition, ...]
    folder: Path

    def clients(self) -> Iterator[ClientData]:
        """Return the clients with their recordings and embeddings, to tell how right an adversary is."""
        for partition in self.partitions:
            yield ClientData(partition, self.encoder, self.ear.cache, self.folder, self.config.calibration)

    @classmethod
    def open(
        cls,
        results: Path,
        weights: str = "",
        key_file: str = "",
        data: str = "",
        rotation_key_file: str = "",
        device: str = RunConfig.device,
    ) -> AuditedRun:
        """Open a result folder.

        Parameters
        ----------
        weights, key_file, data, rotation_key_file : str
            Where the encoder's weights, its key, the recordings and the rotation's key lie now, if elsewhere than in
            the run.
        device : str
            Of this machine, whatever the run was computed on.

        Raises
        ------
        InputError
            There is no recorded view, or the recordings or the encoder are not those of the run.
        """
        config = read_config(results)
        if config.join:
            raise InputError(f"{results}: joined {config.join}, and only newcomers sent embeddings: audit that run")
        named = {
            "encoder_weights": weights,
            "encoder_key_file": key_file,
            "data_dir": data,
            "rotation_key_file": rotation_key_file,
            "device": resolve_device(device),
        }
        config = replace(config, **{key: value for key, value in named.items() if value})  # type: ignore[arg-type]
        view = View.read(results / VIEW)
        shares = METHODS.find(config.method).sends_frames  # else nothing is turned, either
        codec = view.codec(codec_of(config)) if shares else parse("fp32").fit([])
        manifest = read_manifest(results / "manifest.csv")
        clients = len({row.client for row in manifest})
        folder, partitions = data_folder(config, clients), load_partitions(config, clients)
        if clips := difference(manifest, manifest_rows(partitions, folder)):
            raise InputError(f"{folder}: other recordings than in the run ({clips}); bring the old ones back")
        encoder = encoders.build(config)
        defences = open_defences(config, encoder, noise_key=ADVERSARYS_KEY)
        if view.encoder_digests() - {defences.digest(encoder.spec.digest) if shares else encoder.spec.digest}:
            raise InputError(
                f"{results}: the run had another encoder f_c, or another rotation; name its --weights, --key-file or "
                "--rotation-key-file"
            )
        return cls(results, config, view, codec, encoder, defences, tuple(partitions), folder)

    @property
    def members_codec(self) -> Codec:
        """What a client pushes recordings through, but for its noise and its own erasure."""
        return self.codec.with_own(self.defences.detector_stages)

    def imitated(self, codec: Codec) -> Codec:
        """Return a codec with noise of the adversary's own, as large as that on what it attacks, and no rotation."""
        return codec.with_own(replace(self.defences, rotation=None).sender_stages(""))

    @property
    def ear(self) -> FeatureExtractor:
        """What gets spectra and embeddings, in the timing of what was shared."""
        frames = pooled(self.codec)
        cache = EmbeddingCache(cache_dir(self.config.cache_dir) / "embeddings")
        return FeatureExtractor(cache, Timing.of(self.encoder.spec, frames), frames, self.codec.storing)

    @property
    def key_bands(self) -> int:
        """Frequency bands of a frame of f_c, where a key hides its weights; else 0, and an adversary can have f_c."""
        return encoders.ENCODERS.find(self.config.encoder).key_bands

    @property
    def hashes(self) -> set[str]:
        """SHA-256 of all recordings of the run."""
        return {clip.sha256 for partition in self.partitions for clip in partition.clips}

    def trained_on(self, most: int) -> dict[int, list[ObservedClip]]:
        """Return, by client, what was shared of some of the clips that f_s was trained on, beside the truth."""
        ear, tags = self.ear, self._tags()
        found: dict[int, list[ObservedClip]] = {}
        for sent in self.view.shared(self.codec):
            own = found.setdefault(sent.client, [])
            if sent.part == TRAINED_ON and len(own) < most:
                partition = self.partitions[sent.client]
                own.append(ear.shared(sent, partition, tags[partition.clips[sent.clip].sha256]))
        return found

    def not_trained_on(self, clients: set[int]) -> list[ObservedClip]:
        """Return clips of the training split that some clients kept from f_s, as they would have been shared."""
        return [
            self.ear.own(partition.clips[i], self.encoder, self.members_codec, {}, partition.client)
            for partition in self.partitions
            if partition.client in clients
            for i in partition.indices("train")
            if not self.trained(partition.client, i)
        ]

    def trained(self, client: int, clip: int) -> bool:
        """Whether f_s was trained on a client's clip, by its number there."""
        return (client, clip) in self._used

    @cached_property
    def _used(self) -> set[tuple[int, int]]:
        return {(c.client, c.clip) for c in self.view.shared(self.codec) if c.part == TRAINED_ON}

    def place(self, clip: Clip) -> tuple[int, int]:
        """Return the group and the class of a clip."""
        return self._places[clip.sha256]

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        entries = ((p.clips, p.groups, p.classes) for p in self.partitions)
        return {clip.sha256: (g, c) for entry in entries for clip, g, c in zip(*entry, strict=True)}

    def _tags(self) -> dict[str, Tags]:
        clips = [clip for partition in self.partitions for clip in partition.clips]
        return {clip.sha256: tags for clip, tags in tags_of(self.folder, clips).items()}
