"""Embeddings on the client's disk, keyed by content, so that a clip is encoded once.

The key is what the frames depend on: the encoder's digest, the hash of the clip's bytes, the channel, and the
conditions that the recording is changed by, if any. There is one file per clip, because clips come and go one by one,
several processes may write at once, and a page of a big client reads only its own clips; 256 subfolders keep folders
small. A file is a plain ``.npy`` with its SHA-256 behind it: `numpy.load` reads it, and neither a truncated file nor
one that a crash left full of zeros passes for frames.
"""

from __future__ import annotations

import hashlib
import io
import logging
import mmap
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy

from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.schemas import CACHED_EMBEDDINGS
from collab_asd.core.types import Clip, Encoder, EncoderSpec, FloatArray
from collab_asd.data.audio import Audio, ClipError, at_rate, load_audio, require_rate
from collab_asd.encoders import DerivedEncoder, OffsetRemoved

log = logging.getLogger(__name__)
AudioReader: TypeAlias = Callable[[Clip], Audio]

VERSION = CACHED_EMBEDDINGS.version
NOT_IN_NAMES = re.compile(r"[^\w.-]")  # of folders
TOGETHER = 16  # clips whose windows an accelerator is given at once
DECODERS = 4  # threads; libsndfile needs no interpreter

CHECKSUM_SIZE = hashlib.sha256().digest_size


class EmbeddingCache:
    """Frames of clips in a folder.

    Parameters
    ----------
    folder : Path
        Made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def encode(
        self, encoder: Encoder, clip: Clip, *, mapped: bool = False, read: AudioReader = load_audio
    ) -> FloatArray:
        """Frames ``[T, D]`` of a clip: from the disk, or computed and kept. A hit does not open the recording.

        Parameters
        ----------
        encoder : Encoder
        clip : Clip
        mapped : bool
            Return a stored array as a read-only view of the file, which takes no anonymous memory. Each holds a
            file descriptor while it lives, so keep a page of them at most.
        read : callable
            Decodes a clip; one that refuses more than the default may stand here.

        Raises
        ------
        InputError
            When the recording cannot be used or the cache folder cannot be written.
        """
        frames = self.load(encoder.spec, clip, mapped=mapped)
        if frames is not None:
            return frames
        if isinstance(encoder, DerivedEncoder) and (source := self.load(encoder.source, clip)) is not None:
            frames = encoder.derive(source)
        else:
            frames = encoder(at_rate(read(clip), encoder.spec.sample_rate, clip.path))
        self.store(encoder.spec, clip, frames)
        return frames

    def size(self, encoder: Encoder, clip: Clip) -> int | None:
        """Return the bytes that a clip's frames take on the disk; None where it is not encoded yet."""
        try:
            return self.path(encoder.spec, clip).stat().st_size
        except FileNotFoundError:
            return None

    def encode_all(
        self, encoder: Encoder, clips: Sequence[Clip], read: AudioReader = load_audio
    ) -> Iterator[ClipError | None]:
        """Encode clips that are not kept yet, in their order; yields what is wrong with each, if anything.

        For an encoder on an accelerator, recordings are decoded ahead, and several are encoded at once.

        Raises
        ------
        InputError
            The cache folder cannot be written, or a batch does not fit into memory.
        """
        if not isinstance(encoder, OffsetRemoved) or not encoder.on_accelerator:
            for clip in clips:
                try:
                    self.encode(encoder, clip, read=read)
                    yield None
                except ClipError as error:
                    yield error
            return
        with ThreadPoolExecutor(DECODERS) as pool:
            ahead: deque[Future[Audio | ClipError]] = deque()
            left = iter(clips)
            for first in range(0, len(clips), TOGETHER):
                group = clips[first : first + TOGETHER]
                while len(ahead) < 2 * TOGETHER and (coming := next(left, None)) is not None:
                    ahead.append(pool.submit(_decoded, coming, encoder.spec.sample_rate, read))
                found = [ahead.popleft().result() for _ in group]
                frames = iter(encoder.encode([audio for audio in found if isinstance(audio, Audio)]))
                for clip, audio in zip(group, found, strict=True):
                    if isinstance(audio, Audio):
                        self.store(encoder.spec, clip, next(frames))
                    yield audio if isinstance(audio, ClipError) else None

    def load(self, spec: EncoderSpec, clip: Clip, *, mapped: bool = False) -> FloatArray | None:
        """Return stored frames ``[T, D]``, or None where there are none that can be trusted."""
        path = self.path(spec, clip)
        try:
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else bytearray(file.read())
            body = memoryview(content)[:-CHECKSUM_SIZE]
            if hashlib.sha256(body).digest() != content[-CHECKSUM_SIZE:]:
                raise ValueError("its checksum is another")
            size = npy.MAGIC_LEN + 2 + int.from_bytes(body[npy.MAGIC_LEN : npy.MAGIC_LEN + 2], "little")
            shape, dtype = _parse(bytes(body[:size]))
            if dtype != np.float32 or len(shape) != 2 or shape[1] != spec.dimension:
                raise ValueError(f"expected float32 [T, {spec.dimension}], found {dtype} {list(shape)}")
            frames: FloatArray = np.frombuffer(body, np.float32, offset=size).reshape(shape)
            return frames
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s: the stored embedding is damaged (%s); computing it again", path, error)
            return None

    def store(self, spec: EncoderSpec, clip: Clip, frames: FloatArray) -> None:
        """Keep frames ``[T, D]``."""
        content = io.BytesIO()
        np.save(content, np.ascontiguousarray(frames, dtype=np.float32), allow_pickle=False)
        try:
            with replacing(self.path(spec, clip)) as file:
                file.write(content.getbuffer())
                file.write(hashlib.sha256(content.getbuffer()).digest())
        except OSError as error:
            raise InputError(
                f"{self.folder}: embeddings cannot be kept there ({error.strerror}); make room, or choose another "
                "folder with cache-dir"
            ) from error

    def path(self, spec: EncoderSpec, clip: Clip) -> Path:
        """Where the frames of a clip lie."""
        encoder = NOT_IN_NAMES.sub("_", spec.name)
        name = f"{clip.sha256}-{clip.channel}"
        if clip.conditions is not None:
            name += f"-{hashlib.sha256(repr(clip.conditions).encode()).hexdigest()[:16]}"
        return self.folder / f"{encoder}-{spec.digest[:32]}-{VERSION}" / clip.sha256[:2] / f"{name}.npy"


def _decoded(clip: Clip, sample_rate: int, read: AudioReader) -> Audio | ClipError:
    try:
        audio = read(clip)
        require_rate(audio, sample_rate, clip.path)
    except ClipError as error:
        return error
    return audio


@lru_cache(maxsize=1000)  # parsing takes longer than all else, and clips of one length have the same
def _parse(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type from what stands before the numbers."""
    file = io.BytesIO(header)
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    return shape, dtype
