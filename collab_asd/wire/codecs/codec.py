"""A codec as text, as a plan, and fitted to the statistics of all clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from collab_asd.core.errors import InputError
from collab_asd.core.schemas import part
from collab_asd.core.types import FloatArray
from collab_asd.wire.codecs.stages import COUNTED, SHAPING, STORING, Arrays, Float32, Rows, Stage, Storing
from collab_asd.wire.codecs.statistics import FrameStatistics

AnyStage = TypeVar("AnyStage", bound=Stage)
LARGEST = 4096  # frames to pool, or dimensions to keep


@dataclass(frozen=True)
class CodecPlan:
    """Stages that have learnt nothing yet: enough to know what embeddings will weigh.

    Parameters
    ----------
    text : str
    shaping : tuple of Stage
    storing : Storing
    own : tuple of Stage
        What a client does beside, and the server knows nothing of (`collab_asd.wire.defences`): before the first stage
        that learns, so that nothing is learnt from what has not gone through them.
    """

    text: str
    shaping: tuple[Stage, ...]
    storing: Storing
    own: tuple[Stage, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All of them, in the order of encoding."""
        first = self._first_that_learns
        return (*self.shaping[:first], *self.own, *self.shaping[first:], self.storing)

    @property
    def _first_that_learns(self) -> int:
        for i, stage in enumerate(self.shaping):
            if stage.learns:
                return i
        return len(self.shaping)

    def with_own(self, own: Iterable[Stage]) -> Self:
        """Return the same with other stages of a client's own."""
        return replace(self, own=tuple(own))

    @property
    def learns(self) -> bool:
        """Whether clients must send statistics before anything else."""
        return any(stage.learns for stage in self.stages)

    @property
    def lossless(self) -> bool:
        """Whether embeddings arrive as they are."""
        return not self.shaping and not self.own and isinstance(self.storing, Float32)

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
        return self.statistics_of(map(self.shaped, clips))

    def shaped(self, frames: FloatArray) -> FloatArray:
        """Take the frames ``[T, D]`` of one clip through all stages before the first that learns."""
        for stage in self.shaping[: self._first_that_learns] + self.own:
            frames = stage.encode(frames)
        return frames

    def statistics_of(self, rows: Iterable[FloatArray]) -> FrameStatistics:
        """Return the same as `statistics`, of rows that are `shaped`."""
        return FrameStatistics.of(rows, self.directions)

    @property
    def directions(self) -> int:
        """Principal directions that its stages want to know."""
        return max(stage.directions for stage in self.stages)

    def shaped_rows(self, frames: int) -> int:
        """Rows that `shaped` makes of so many frames."""
        for stage in self.shaping[: self._first_that_learns]:
            frames = stage.rows(frames)
        return frames

    def fit(self, parts: Sequence[FrameStatistics]) -> Codec:
        """Fit all stages to what the clients told; without a stage that learns, to nothing."""
        if not self.learns:
            return Codec(self.text, self.shaping, self.storing, self.own)
        shaping, statistics = [], FrameStatistics.pooled(parts)
        for stage in self.shaping:
            fitted, statistics = stage.fit(statistics)
            shaping.append(fitted)
        return Codec(self.text, tuple(shaping), self.storing.fit(statistics)[0], self.own)

    def with_arrays(self, arrays: Arrays, dimension: int | None = None) -> Codec:
        """Return the codec whose `Codec.to_arrays` these are.

        Parameters
        ----------
        arrays : mapping
        dimension : int, optional
            D of the frames; by default what the first array says.

        Raises
        ------
        ValueError
            They are another codec's, of other frames, or cannot have been fitted to any.
        """
        known = {f"{i}/{name}" for i, stage in enumerate((*self.shaping, self.storing)) for name in stage.learns}
        if arrays.keys() != known:
            raise ValueError(f"codec {self.text!r}: its arrays are not {', '.join(sorted(known)) or 'none'}")
        if dimension is None:
            dimension = next((arrays[name].shape[-1] for name in sorted(arrays) if arrays[name].ndim), 1)
        shaping = [stage.with_learnt(part(arrays, f"{i}/")) for i, stage in enumerate(self.shaping)]
        storing = self.storing.with_learnt(part(arrays, f"{len(shaping)}/"))
        for stage in (*shaping, storing):
            stage.require_possible(dimension)
            dimension = stage.dimension(dimension)
        return Codec(self.text, tuple(shaping), storing, self.own)


@dataclass(frozen=True)
class Codec(CodecPlan):
    """A codec that has learnt what it must."""

    def encode(self, frames: FloatArray) -> Rows:
        """Take the frames ``[T, D]`` of one clip to what travels."""
        rows: Rows = frames
        for stage in self.stages:
            rows = stage.encode(rows)
        return rows

    def decode(self, rows: Rows, frames: int) -> FloatArray:
        """Take what travelled of one clip of `frames` frames back to frames ``[T, D]``."""
        stages, counts = self.stages, [frames]
        for stage in stages[:-1]:
            counts.append(stage.rows(counts[-1]))
        for stage, count in zip(reversed(stages), reversed(counts), strict=True):
            rows = stage.decode(rows, count)
        return np.asarray(rows, np.float32)

    def round_trip(self, frames: FloatArray) -> FloatArray:
        """Return what is left of the frames ``[T, D]`` of one clip."""
        return frames if self.lossless else self.decode(self.encode(frames), len(frames))

    def learnt_round_trip(self, rows: FloatArray) -> FloatArray:
        """Return what the stages from the first that learns on leave of rows that are `shaped`."""
        stages = (*self.shaping[self._first_that_learns :], self.storing)
        left: Rows = rows
        for stage in stages:
            left = stage.encode(left)
        for stage in reversed(stages):
            left = stage.decode(left, len(rows))
        return np.asarray(left, np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Lay out what the stages have learnt, all but a client's own."""
        stages = (*self.shaping, self.storing)
        return {f"{i}/{name}": array for i, stage in enumerate(stages) for name, array in stage.learnt.items()}


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
