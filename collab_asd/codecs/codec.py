"""A codec as text, as a plan, and fitted to the statistics of all clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from collab_asd.codecs.stages import COUNTED, SHAPING, STORING, Arrays, Float32, Rows, Stage, Storing
from collab_asd.codecs.statistics import FrameStatistics
from collab_asd.errors import InputError
from collab_asd.interfaces import FloatArray
from collab_asd.named_arrays import part

AnyStage = TypeVar("AnyStage", bound=Stage)
LARGEST = 4096  # frames to pool, or dimensions to keep


@dataclass(frozen=True)
class CodecPlan:
    """Stages that have learnt nothing yet: enough to know what embeddings will weigh."""

    text: str
    shaping: tuple[Stage, ...]
    storing: Storing

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All of them, in the order of encoding."""
        return (*self.shaping, self.storing)

    @property
    def learns(self) -> bool:
        """Whether clients must send statistics before anything else."""
        return any(stage.learns for stage in self.stages)

    @property
    def lossless(self) -> bool:
        """Whether embeddings arrive as they are."""
        return not self.shaping and isinstance(self.storing, Float32)

    def rows(self, frames: int) -> int:
        """Rows that a clip of so many frames becomes."""
        for stage in self.stages:
            frames = stage.rows(frames)
        return frames

    def clip_bytes(self, frames: int, dimension: int) -> int:
        """Bytes that a clip of frames ``[T, D]`` becomes."""
        return self.rows(frames) * self.dimension(dimension) * np.dtype(self.storing.kind).itemsize

    def dimension(self, dimension: int) -> int:
        """Numbers in a row of what travels, for frames of `dimension` numbers."""
        for stage in self.stages:
            dimension = stage.dimension(dimension)
        return dimension

    def statistics(self, clips: Iterable[FloatArray]) -> FrameStatistics:
        """Return what one client tells of its frames ``[T, D]``, by clip, for `fit`."""
        first = next((i for i, stage in enumerate(self.stages) if stage.learns), 0)
        shaped = (_encode(self.stages[:first], clip) for clip in clips)
        return FrameStatistics.of(shaped, max(stage.directions for stage in self.stages))

    def fit(self, parts: Sequence[FrameStatistics]) -> Codec:
        """Fit all stages to what the clients told; without a stage that learns, to nothing."""
        if not self.learns:
            return Codec(self.text, self.shaping, self.storing)
        shaping, statistics = [], FrameStatistics.pooled(parts)
        for stage in self.shaping:
            fitted, statistics = stage.fit(statistics)
            shaping.append(fitted)
        return Codec(self.text, tuple(shaping), self.storing.fit(statistics)[0])

    def with_arrays(self, arrays: Arrays) -> Codec:
        """Return the codec whose `Codec.to_arrays` these are.

        Raises
        ------
        ValueError
            They are another codec's.
        """
        try:
            shaping = [stage.with_learnt(part(arrays, f"{i}/")) for i, stage in enumerate(self.shaping)]
            storing = self.storing.with_learnt(part(arrays, f"{len(shaping)}/"))
        except KeyError as error:
            raise ValueError(f"codec {self.text!r}: its array {error} is missing") from error
        return Codec(self.text, tuple(shaping), storing)


@dataclass(frozen=True)
class Codec(CodecPlan):
    """A codec that has learnt what it must."""

    def encode(self, frames: FloatArray) -> Rows:
        """Take the frames ``[T, D]`` of one clip to what travels."""
        return _encode(self.stages, frames)

    def decode(self, rows: Rows, frames: int) -> FloatArray:
        """Take what travelled of one clip of `frames` frames back to frames ``[T, D]``."""
        counts = [frames]
        for stage in self.stages:
            counts.append(stage.rows(counts[-1]))
        for stage, count in zip(reversed(self.stages), reversed(counts[:-1]), strict=True):
            rows = stage.decode(rows, count)
        return np.asarray(rows, np.float32)

    def round_trip(self, frames: FloatArray) -> FloatArray:
        """Return what is left of the frames ``[T, D]`` of one clip."""
        return frames if self.lossless else self.decode(self.encode(frames), len(frames))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Lay out what the stages have learnt."""
        return {f"{i}/{name}": array for i, stage in enumerate(self.stages) for name, array in stage.learnt.items()}


def parse(text: str) -> CodecPlan:
    """Read a codec such as ``fp32`` or ``pool:8+pca:32+int8``.

    Raises
    ------
    InputError
        Names the stage that is not understood, and what there is.

    Examples
    --------
    >>> parse("pool:8+pca:32+int8").clip_bytes(frames=92, dimension=512)
    384
    """
    *shaping, last = text.split("+")
    if last not in STORING and last.partition(":")[0] not in COUNTED:
        shaping, last = [*shaping, last], "fp32"
    stages = [_counted(text, stage, SHAPING) for stage in shaping]
    storing = STORING[last]() if last in STORING else _counted(text, last, COUNTED)
    names = [stage.partition(":")[0] for stage in shaping]
    if len(set(names)) < len(names):
        raise InputError(f"codec = {text!r}: each stage may stand there once")
    if "pca" in names[:-1]:
        raise InputError(f"codec = {text!r}: pca comes after pool and every")
    return CodecPlan(text, tuple(stages), storing)


def _counted(text: str, stage: str, known: Mapping[str, Callable[[int], AnyStage]]) -> AnyStage:
    name, _, number = stage.partition(":")
    if name not in known or not number.isascii() or not number.isdecimal() or not 1 <= int(number) <= LARGEST:
        raise InputError(
            f"codec = {text!r}: {stage!r} is no stage; join some of {', '.join(f'{name}:N' for name in SHAPING)} by +, "
            f"then one of {', '.join([*STORING, *(f'{name}:N' for name in COUNTED)])}, N from 1 to {LARGEST}"
        )
    return known[name](int(number))


def _encode(stages: Sequence[Stage], rows: Rows) -> Rows:
    for stage in stages:
        rows = stage.encode(rows)
    return rows
