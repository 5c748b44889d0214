"""The server's store of received embeddings, on disk: pages as they came, read and decoded clip by clip on use.

A page is two files: its rows, and, written last, a JSON of what they are. One without the other is no page. So a run
that was killed finds every page that it had received whole, and asks for the others alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from collab_asd.classifier.sampling import LazyClips
from collab_asd.core.errors import InputError, reason
from collab_asd.core.files import replacing
from collab_asd.core.schemas import SEAL, STORE, require_sealed, seal_of
from collab_asd.core.types import PARTS, FloatArray, MachineFrames
from collab_asd.methods.embedding_sharing.pages import PER_CLIP, Arrays, ClientDescription, PageNumber, sha256_of
from collab_asd.wire.codecs import Codec, CodecPlan

log = logging.getLogger(__name__)
CARD, BASIS, DIGEST = "store.json", "codec.safetensors", "codec.sha256"
RECENT_BYTES = 128_000_000  # of decoded clips: a small run decodes each clip once, and a large one stays small


@dataclass(frozen=True)
class SharedMachine:
    """One machine as the server knows it: embeddings, and the client's numbers of the clips they belong to."""

    frames: MachineFrames
    normal_clips: tuple[int, ...]
    test_clips: tuple[int, ...]


@dataclass(frozen=True)
class StoredPage:
    """The file that holds the rows of a page.

    It is opened to read and closed again: there may be more pages than a process may have open files or memory maps.
    """

    path: Path
    kind: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, path: Path) -> StoredPage:
        """Read the head of a page.

        Raises
        ------
        OSError, ValueError
            The file is damaged.
        """
        with path.open("rb") as file:
            npy.read_magic(file)
            shape, _, kind = npy.read_array_header_1_0(file)
            page = cls(path, kind, shape, file.tell())
        if path.stat().st_size != page.offset + kind.itemsize * int(np.prod(shape)):
            raise ValueError("its end is missing")
        return page

    def read(self, start: int, stop: int, digest: str) -> NDArray[Any]:
        """Read rows `start` to `stop`.

        Raises
        ------
        ValueError
            They are not those of the digest.
        """
        width = int(np.prod(self.shape[1:]))
        offset = self.offset + start * width * self.kind.itemsize
        rows = np.fromfile(self.path, self.kind, (stop - start) * width, offset=offset)
        if sha256_of(rows) != digest:
            raise ValueError("rows are damaged (SHA-256 mismatch)")
        return rows.reshape(stop - start, *self.shape[1:])


@dataclass(frozen=True, slots=True)
class StoredClip:
    """Where one clip lies: its numbers, its rows in a page, and their SHA-256, checked whenever they are read."""

    clip: int
    place: tuple[int, int]
    length: int
    page: StoredPage
    start: int
    stop: int
    digest: str


class EmbeddingStore:
    """Pages of embeddings by client and part.

    Parameters
    ----------
    folder : Path
        Made on first use; nobody else's.
    plan : CodecPlan
        What the pages are encoded by.
    """

    def __init__(self, folder: Path, plan: CodecPlan) -> None:
        self.folder, self._plan = folder, plan
        self._pages: dict[int, dict[PageNumber, list[StoredClip]]] = {}
        self._recent: LRUCache[tuple[Path, int], FloatArray] = LRUCache(RECENT_BYTES, lambda frames: frames.nbytes)
        self.codec: Codec | None = None

    def open(self, descriptions: Mapping[int, ClientDescription]) -> None:
        """Begin, or go on with what the same clients sent of the same clips before the run broke off.

        Raises
        ------
        InputError
            The folder is another run's or version's, or cannot be written.
        """
        card = {**STORE.stamp, "codec": self._plan.text}
        path = self.folder / CARD
        if path.exists():
            found = STORE.read(path)
            if (codec := found.get("codec")) != self._plan.text:
                raise InputError(
                    f"{self.folder}: was left with codec = {codec}, this run has {self._plan.text}; {STORE.remedy}"
                )
            if found.get("clients") != _identities(descriptions):
                log.warning(
                    "other clients, or other clips of theirs, than when the run broke off: asking for all again"
                )
                self.clear()
        basis = self.folder / BASIS
        try:
            self.codec = self._plan.with_arrays(load_arrays(basis.read_bytes())) if basis.exists() else None
            if basis.exists() and (self.folder / DIGEST).read_text() != hashlib.sha256(basis.read_bytes()).hexdigest():
                raise ValueError("SHA-256 mismatch")
        except (SafetensorError, ValueError, OSError):
            log.warning("%s: damaged; asking for all embeddings again", basis)
            self.clear()
        self._write(path, json.dumps(card | {"clients": _identities(descriptions)}).encode())
        self._pages = {client: dict(self._found(client, said)) for client, said in descriptions.items()}

    def keep_codec(self, codec: Codec) -> None:
        """Keep what the codec was fitted to: pages are of no use without."""
        data = save_arrays({k: np.ascontiguousarray(v) for k, v in codec.to_arrays().items()})
        self._write(self.folder / DIGEST, hashlib.sha256(data).hexdigest().encode())
        self._write(self.folder / BASIS, data)
        self.codec = codec

    def holds(self, client: int, page: PageNumber) -> bool:
        """Whether a page has come."""
        return page in self._pages.get(client, {})

    def add(self, client: int, number: PageNumber, arrays: Arrays) -> None:
        """Keep one page.

        Raises
        ------
        InputError
            The disk is full or cannot be written; the page is dropped then.
        """
        rows, about = self._paths(client, number)
        size = f"{arrays['rows'].nbytes / 1e6:.1f} MB"
        ends = list(accumulate(map(self._plan.rows, arrays["lengths"].tolist())))
        digests = [sha256_of(arrays["rows"][a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        content: dict[str, Any] = {name: arrays[name].tolist() for name in PER_CLIP} | {"rows_sha256": digests}
        try:
            with replacing(rows) as file:
                np.save(file, arrays["rows"])
            with replacing(about) as file:
                file.write(json.dumps(content | {SEAL: seal_of(content)}).encode())
        except OSError as error:
            raise InputError(
                f"{self.folder}: a page of {size} cannot be kept ({error.strerror}): make room and start again; "
                "what came before is kept"
            ) from error
        self._pages.setdefault(client, {})[number] = self._read_page(client, number)

    def release(self) -> None:
        """Let go of the clips that are decoded: whoever needs one again reads it again."""
        self._recent.clear()

    def drop(self, client: int) -> None:
        """Forget all that a client has sent."""
        self._recent.clear()
        if not self._pages.pop(client, None):
            return
        for file in self.folder.glob(f"client-{client}-*"):
            file.unlink()

    def adopt(self, other: Path, clients: Mapping[int, int]) -> None:
        """Take over what another store holds, before this one is opened.

        Parameters
        ----------
        other : Path
            Its folder.
        clients : mapping of int to int
            Number of a client there -> its number here.
        """
        if (other / CARD).exists():
            STORE.read(other / CARD)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (DIGEST, BASIS):
            _link(other / name, self.folder / name)
        for there, here in clients.items():
            for file in sorted(other.glob(f"client-{there}-*"), reverse=True):  # rows, then what they are
                _link(file, self.folder / file.name.replace(f"client-{there}-", f"client-{here}-", 1))

    def clear(self) -> None:
        """Forget all clients."""
        self._pages.clear()
        self._recent.clear()
        self.codec = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def machines(self, client: int) -> list[SharedMachine]:
        """Return what one client has sent, by machine.

        The clips of a part are in the order of their rows' digests: f_s, and all else that is made of them, depend on
        what was sent and not on how the client numbers it.
        """
        pages = sorted(self._pages.get(client, {}).items(), key=lambda page: page[0].start)
        held = {part: [clip for number, clips in pages if number.part == part for clip in clips] for part in PARTS}
        found = []
        for place in sorted({clip.place for clip in held["train"]}):
            own = {
                part: sorted((clip for clip in clips if clip.place == place), key=lambda clip: clip.digest)
                for part, clips in held.items()
            }
            normal = tuple(clip.clip for clip in (*own["train"], *own["calibration"]))
            frames = MachineFrames(*place, *map(self._lazy, own.values()))
            found.append(SharedMachine(frames, normal, tuple(clip.clip for clip in own["test"])))
        return found

    def clip_count(self) -> int:
        """Return the number of clips that are kept."""
        return sum(len(clips) for pages in self._pages.values() for clips in pages.values())

    def _lazy(self, clips: Sequence[StoredClip]) -> LazyClips:
        return LazyClips([clip.length for clip in clips], [partial(self._frames, clip) for clip in clips])

    def _frames(self, clip: StoredClip) -> FloatArray:
        """Read and decode one clip, unless it was lately."""
        assert self.codec is not None
        key = clip.page.path, clip.start
        frames = self._recent.get(key)
        if frames is None:
            try:
                rows = clip.page.read(clip.start, clip.stop, clip.digest)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{clip.page.path}: {reason(error)}; repeat the command: the page is then asked for again"
                ) from error
            frames = self.codec.decode(rows, clip.length)
            if frames.nbytes <= RECENT_BYTES:
                self._recent[key] = frames
        return frames

    def _found(self, client: int, description: ClientDescription) -> Iterator[tuple[PageNumber, list[StoredClip]]]:
        """Read the pages that lie on disk already."""
        for number in (page for part in PARTS for page in description.pages(part)):
            if self._paths(client, number)[1].exists():
                try:
                    clips = self._read_page(client, number)
                    for clip in clips:
                        clip.page.read(clip.start, clip.stop, clip.digest)
                    yield number, clips
                except (OSError, ValueError, KeyError, EOFError, TypeError):
                    log.warning("client %d: a page that was kept is damaged; asking for it again", client)

    def _read_page(self, client: int, number: PageNumber) -> list[StoredClip]:
        rows_file, about_file = self._paths(client, number)
        page = StoredPage.of(rows_file)
        about = require_sealed(json.loads(about_file.read_bytes()), about_file, STORE)
        ends = list(accumulate(self._plan.rows(length) for length in about["lengths"]))
        if page.shape[0] != ends[-1]:
            raise ValueError("rows are missing")
        places = zip(about["groups"], about["classes"], strict=True)
        parts = zip(
            *(about["clips"], places, about["lengths"], [0, *ends[:-1]], ends, about["rows_sha256"]), strict=True
        )
        return [StoredClip(clip, place, length, page, a, b, digest) for clip, place, length, a, b, digest in parts]

    def _paths(self, client: int, number: PageNumber) -> tuple[Path, Path]:
        stem = f"client-{client}-{number.part}-{number.start}-{number.stop}"
        return self.folder / f"{stem}.npy", self.folder / f"{stem}.json"

    def _write(self, path: Path, content: bytes) -> None:
        try:
            with replacing(path) as file:
                file.write(content)
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}); name another results-dir"
            ) from error


def _link(source: Path, target: Path) -> None:
    """Let a file stand in two folders, or copy it where the disk cannot; one that is there stays."""
    if not target.exists():
        try:
            target.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, target)


def _identities(descriptions: Mapping[int, ClientDescription]) -> dict[str, Any]:
    """Return what must be the same for pages to be of use, as JSON has it."""
    return {str(client): asdict(said) for client, said in descriptions.items()}
