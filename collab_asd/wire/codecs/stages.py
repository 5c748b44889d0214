"""The stages of a codec. A stage is added by one class, and by one line of `SHAPING` or `STORING`.

Every stage takes rows of numbers to fewer or smaller ones and back. A stage that learns is fitted by the server to the
statistics of all clients' rows, as they come out of the stage before it; its arrays then travel to the clients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from collab_asd.wire.codecs.statistics import FLATTEST, FrameStatistics, floored
from collab_asd.wire.fields import SPREAD, Numbers, require

Rows = NDArray[Any]
Arrays = Mapping[str, NDArray[Any]]
CENTROIDS, SAMPLES = 256, 16_384
UNIT, SKEW = 1.01, 0.02  # of axes in half precision


@dataclass(frozen=True)
class Stage(ABC):
    """One step of a codec.

    Parameters
    ----------
    number : int
        What stands behind the name; 0 where nothing does.
    learnt : mapping of str to array
        What it was fitted to, under the names that it `learns`; empty before.
    """

    learns: ClassVar[tuple[str, ...]] = ()
    number: int = 0
    learnt: Arrays = field(default_factory=dict)

    @property
    def directions(self) -> int:
        """Principal directions that `fit` wants of the rows."""
        return 0

    def rows(self, count: int) -> int:
        """Rows that `count` rows become."""
        return count

    def dimension(self, dimension: int) -> int:
        """Numbers in a row that comes out, if rows of `dimension` numbers come in."""
        return dimension

    def fit(self, statistics: FrameStatistics) -> tuple[Self, FrameStatistics]:
        """Return the stage fitted to rows, and the statistics of what it makes of them."""
        return self, statistics

    def fields(self, dimension: int) -> dict[str, Numbers]:
        """Return what the arrays that it learns may be, for rows of `dimension` numbers."""
        return {}

    def require_possible(self, dimension: int) -> None:
        """Refuse what it is said to have learnt of rows of `dimension` numbers.

        Raises
        ------
        ValueError
            It cannot have learnt that.
        """
        require(self.fields(dimension), self.learnt)

    def with_learnt(self, arrays: Arrays) -> Self:
        """Return the stage with those of some arrays that it learns.

        Raises
        ------
        KeyError
            One is missing.
        """
        return replace(self, learnt={name: arrays[name] for name in self.learns})

    @abstractmethod
    def encode(self, rows: Rows) -> Rows:
        """Take rows ``[n, D]`` to what travels."""

    @abstractmethod
    def decode(self, rows: Rows, count: int) -> Rows:
        """Take what travelled back to about what `count` rows were."""


class Pool(Stage):
    """``pool:K``: the mean of each K successive frames; decoded, it stands for each of them."""

    def rows(self, count: int) -> int:
        """Divide, rounding up."""
        return -(-count // self.number)

    def encode(self, rows: Rows) -> Rows:
        """Average; the last mean may be of fewer frames."""
        starts = np.arange(0, len(rows), self.number)
        sizes = np.diff(np.append(starts, len(rows)))
        return np.asarray(np.add.reduceat(rows, starts, axis=0) / sizes[:, np.newaxis], np.float32)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Repeat."""
        return np.repeat(rows, self.number, axis=0)[:count]


class Every(Pool):
    """``every:K``: each K-th frame alone; decoded, it stands for those up to the next."""

    def encode(self, rows: Rows) -> Rows:
        """Leave out all others."""
        return rows[:: self.number]


class Principal(Stage):
    """``pca:D``: coordinates along the leading principal directions of all clients' frames."""

    learns = ("mean", "axes")

    @property
    def directions(self) -> int:
        """D."""
        return self.number

    def dimension(self, dimension: int) -> int:
        """D, or as many as there are."""
        return min(self.number, dimension)

    def fields(self, dimension: int) -> dict[str, Numbers]:
        """One mean, and D axes."""
        axes = Numbers("float16", (self.dimension(dimension), dimension), -UNIT, UNIT)
        return {"mean": Numbers("float32", (dimension,), -SPREAD, SPREAD), "axes": axes}

    def require_possible(self, dimension: int) -> None:
        """Refuse axes that are not orthogonal, too: by others, coordinates would tell more than so many numbers."""
        super().require_possible(dimension)
        axes = self.learnt["axes"].astype(np.float64)
        products = axes @ axes.T
        lengths = products.diagonal()
        if not np.all((np.abs(lengths - 1) < SKEW) | (lengths < SKEW)):  # an axis along which nothing varies is 0
            raise ValueError("axes of the codec are not of length 1")
        if np.abs(products - np.diag(lengths)).max(initial=0.0) > SKEW:
            raise ValueError("axes of the codec are not orthogonal")

    def fit(self, statistics: FrameStatistics) -> tuple[Self, FrameStatistics]:
        """Take the leading directions; what comes out has their lengths as deviations, and no correlation."""
        leading = statistics.directions[: self.number]
        deviation = np.linalg.norm(leading, axis=1).astype(np.float32)
        axes = (leading / np.maximum(deviation, 1e-12)[:, np.newaxis]).astype(np.float16)
        coordinates = FrameStatistics(statistics.count, np.zeros_like(deviation), deviation, np.diag(deviation))
        return self.with_learnt({"mean": statistics.mean, "axes": axes}), coordinates

    def encode(self, rows: Rows) -> Rows:
        """Project."""
        return np.asarray((rows - self.learnt["mean"]) @ self.learnt["axes"].astype(np.float32).T, np.float32)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Project back."""
        return np.asarray(rows @ self.learnt["axes"].astype(np.float32) + self.learnt["mean"], np.float32)


class Storing(Stage):
    """A last stage: how the numbers that are left travel, by their NumPy type."""

    kind: ClassVar[type[np.generic]]


class Float32(Storing):
    """``fp32``: every number as it is."""

    kind = np.float32

    def encode(self, rows: Rows) -> Rows:
        """Nothing is changed."""
        return np.asarray(rows, np.float32)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Nothing is changed."""
        return rows


class Float16(Storing):
    """``fp16``: every number in half precision."""

    kind = np.float16

    def encode(self, rows: Rows) -> Rows:
        """Round; what is larger than 65504 becomes that."""
        limit = np.finfo(np.float16).max
        return np.clip(rows, -limit, limit).astype(np.float16)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Widen."""
        return rows.astype(np.float32)


class Integer8(Storing):
    """``int8``: steps of a sixteenth of each dimension's standard deviation, up to eight of these from its mean."""

    learns = ("mean", "step")
    kind = np.int8

    def fields(self, dimension: int) -> dict[str, Numbers]:
        """One mean and one step of each dimension."""
        mean = Numbers("float32", (dimension,), -SPREAD, SPREAD)
        return {"mean": mean, "step": Numbers("float32", (dimension,), 1 / SPREAD**2, SPREAD)}

    def require_possible(self, dimension: int) -> None:
        """Refuse steps that differ more than those of any deviations, too."""
        super().require_possible(dimension)
        if (step := self.learnt["step"]).min() < FLATTEST * step.max() / 2:
            raise ValueError("steps of the codec differ more than they do where they are fitted")

    def fit(self, statistics: FrameStatistics) -> tuple[Self, FrameStatistics]:
        """Take mean and step of each dimension."""
        step = floored(statistics.deviation) / np.float32(16)
        return self.with_learnt({"mean": statistics.mean, "step": step}), statistics

    def encode(self, rows: Rows) -> Rows:
        """Round to steps; what lies further out is brought to the edge."""
        return np.clip(np.rint((rows - self.learnt["mean"]) / self.learnt["step"]), -127, 127).astype(np.int8)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Count the steps."""
        return np.asarray(rows * self.learnt["step"] + self.learnt["mean"], np.float32)


class Product(Storing):
    """``pq:B``: a row in B bytes, each the nearest of 256 centroids for its share of the dimensions.

    The server has seen no frame when it must choose centroids: they are those of normally distributed numbers with the
    spread that the clients told of (H. Jégou et al., "Product quantization for nearest neighbor search", TPAMI 2011).
    """

    learns = ("centroids",)
    kind = np.uint8

    def dimension(self, dimension: int) -> int:
        """B, or as many as there are numbers."""
        return min(self.number, dimension)

    def fields(self, dimension: int) -> dict[str, Numbers]:
        """256 centroids."""
        return {"centroids": Numbers("float16", (CENTROIDS, dimension))}

    def fit(self, statistics: FrameStatistics) -> tuple[Self, FrameStatistics]:
        """Find the centroids of each share of the dimensions."""
        from sklearn.cluster import MiniBatchKMeans  # takes a second to import

        spread = np.random.default_rng(0).normal(size=(SAMPLES, len(statistics.mean))) * statistics.deviation
        drawn = (statistics.mean + spread).astype(np.float32)
        centroids = np.empty((CENTROIDS, drawn.shape[1]), np.float16)
        for share in self._shares(drawn.shape[1]):
            means = MiniBatchKMeans(CENTROIDS, n_init=1, random_state=0).fit(drawn[:, share])
            centroids[:, share] = means.cluster_centers_
        return self.with_learnt({"centroids": centroids}), statistics

    def encode(self, rows: Rows) -> Rows:
        """Find the nearest centroids."""
        centroids = self.learnt["centroids"].astype(np.float32)
        return np.stack([_nearest(rows[:, s], centroids[:, s]) for s in self._shares(rows.shape[1])], axis=1)

    def decode(self, rows: Rows, count: int) -> Rows:
        """Put the centroids in place."""
        centroids = self.learnt["centroids"].astype(np.float32)
        decoded = np.empty((len(rows), centroids.shape[1]), np.float32)
        for codes, share in zip(rows.T, self._shares(centroids.shape[1]), strict=True):
            decoded[:, share] = centroids[codes][:, share]
        return decoded

    def _shares(self, dimension: int) -> list[slice]:
        """Every B-th dimension, so that each share has some of those that vary most, which pca puts first."""
        count = self.dimension(dimension)
        return [slice(start, None, count) for start in range(count)]


def _nearest(rows: Rows, centroids: Rows) -> Rows:
    """Return the number of the nearest centroid of each row."""
    distances = np.square(centroids).sum(axis=1) - 2 * rows @ centroids.T
    return np.asarray(distances.argmin(axis=1), np.uint8)


SHAPING: dict[str, Callable[[int], Stage]] = {"pool": Pool, "every": Every, "pca": Principal}
"""Stages before the last; each has a number."""
STORING: dict[str, Callable[[], Storing]] = {"fp32": Float32, "fp16": Float16, "int8": Integer8}
"""The last stage, if it has no number."""
COUNTED: dict[str, Callable[[int], Storing]] = {"pq": Product}
"""The last stage, if it has one."""
