"""Embed clips ahead of a run, in several processes: the run then finds all of them in the cache.

What is cached is left alone, and each clip is kept as soon as it is encoded: killed and started again, this loses only
the clips that were in hand. An encoder on a GPU has one process, which decodes ahead.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial

from filelock import FileLock

from collab_asd import encoders
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir
from collab_asd.core.processes import follow_parent, leaving_interrupts_here
from collab_asd.core.progress import step
from collab_asd.core.runtime import pin_threads, resolve_device
from collab_asd.core.types import Clip, Encoder
from collab_asd.data.audio import Audio, ClipError, load_audio, signal_fault
from collab_asd.data.recordings import file_sizes
from collab_asd.encoders.cache import EmbeddingCache

SHORTEST = 1.0  # s, as `collab_asd.data.check` wants it


@dataclass(frozen=True)
class Missing:
    """What there is to do: the clips that are not cached, each content once, and how many others are."""

    clips: tuple[Clip, ...]
    cached: int


def missing(config: RunConfig, clips: Sequence[Clip]) -> Missing:
    """Look which clips the configured encoder has not encoded yet.

    Raises
    ------
    InputError
        The encoder cannot be built.
    """
    encoder, cache = _open(config)
    places = {cache.path(encoder.spec, clip): clip for clip in clips}
    left = {place: clip for place, clip in places.items() if not place.exists()}
    return Missing(tuple(left.values()), len(places) - len(left))


def embed(config: RunConfig, clips: Sequence[Clip], jobs: int = 1) -> list[tuple[Clip, ClipError]]:
    """Encode clips with the configured encoder and keep their frames where a run of this configuration looks.

    Parameters
    ----------
    config : RunConfig
        ``threads`` is the number of threads in each process, as in a run.
    clips : sequence of Clip
    jobs : int
        Processes; with 1 all is done in this one. Each holds the encoder and one clip.

    Returns
    -------
    list of tuple of Clip and ClipError
        The clips that cannot be used, and why; the others are cached.

    Raises
    ------
    InputError
        The encoder cannot be built, the cache cannot be written, or a process was killed.
    """
    faults = []
    processes = max(1, min(jobs, len(clips))) if resolve_device(config.device) == "cpu" else 1
    sizes = file_sizes(clip.path for clip in clips)
    with step(f"embedding recordings with {config.encoder}", len(clips), cost=sizes, workers=processes) as advance:
        for clip, fault in zip(clips, _encoded(config, clips, processes), strict=True):
            if fault is not None:
                faults.append((clip, fault))
            advance()
    return faults


def ensure_embedded(config: RunConfig, clips: Sequence[Clip]) -> None:
    """Encode what is not cached yet; of several processes that need the same embeddings, one computes them.

    Raises
    ------
    InputError
        As of `embed`, or a clip cannot be used.
    """
    encoder, cache = _open(config)
    cache.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.folder / f".{encoder.spec.digest[:32]}.lock"):
        if faults := embed(config, missing(config, clips).clips):
            raise faults[0][1]


def _encoded(config: RunConfig, clips: Sequence[Clip], processes: int) -> Iterable[ClipError | None]:
    """Encode clip by clip, in their order; yields what is wrong with each, if anything."""
    if processes > 1:
        return _in_processes(partial(_encode, config), clips, processes)
    encoder, cache = _open(config)
    return cache.encode_all(encoder, clips, _useful_audio)


def _in_processes(
    encode: Callable[[Clip], ClipError | None], clips: Sequence[Clip], processes: int
) -> Iterator[ClipError | None]:
    context = multiprocessing.get_context("spawn")  # a fork would inherit the threads of PyTorch half
    try:
        with ProcessPoolExecutor(processes, context, initializer=follow_parent) as pool:
            with leaving_interrupts_here():
                faults = pool.map(encode, clips)
            yield from faults
    except BrokenProcessPool as error:
        raise InputError(
            "a process that embeds clips was killed, perhaps for want of memory; what it had done is kept: start "
            "again, with fewer --jobs"
        ) from error


def _encode(config: RunConfig, clip: Clip) -> ClipError | None:
    encoder, cache = _open(config)
    return next(cache.encode_all(encoder, [clip], _useful_audio))


def _useful_audio(clip: Clip) -> Audio:
    """Decode a clip, and refuse what a run would refuse."""
    audio = load_audio(clip)
    if fault := signal_fault(clip.path, audio, SHORTEST):
        raise fault
    return audio


@lru_cache(maxsize=1)
def _open(config: RunConfig) -> tuple[Encoder, EmbeddingCache]:
    """Build the encoder, once in each process."""
    pin_threads(config.threads)
    return encoders.build(config), EmbeddingCache(cache_dir(config.cache_dir) / "embeddings")
