"""What all encoders have in common that PyTorch computes: a device, a precision, and batches that fit into memory.

On a CPU a batch holds windows of one clip alone, and always as many: sums over batches of another size round
differently, and a frame is to depend on its own clip alone, to the last bit. An accelerator is only busy with windows
of several clips at once, as many as its free memory takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import groupby
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from collab_asd.config import Precision
from collab_asd.core.errors import InputError
from collab_asd.core.types import EncoderSpec, FloatArray

SHARE = 0.5  # of an accelerator's free memory that a batch may take
MOST = 1024  # windows at once; more make nothing faster
OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # in the messages of all backends


class TorchEncoder(ABC):
    """An encoder on a device.

    A subclass keeps its modules as attributes; what it holds of other tensors, it moves itself. It sets ``_spec``.

    Attributes
    ----------
    batch : int
        Windows at once on a CPU.
    has_network : bool
        Whether `precision` means anything to it.
    autocast : callable
        Makes a context for the network; what comes before it, such as a logarithm of powers, is beyond bf16's range.
    """

    batch: ClassVar[int] = 1
    has_network: ClassVar[bool] = True
    device = torch.device("cpu")
    precision: Precision = "fp32"
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    _spec: EncoderSpec
    _most = 0  # windows at once, where that is known not to be `batch`

    @property
    def spec(self) -> EncoderSpec:
        """Rate, framing, dimension, stacking and digest."""
        return self._spec

    @abstractmethod
    def windows(self, waveform: Tensor) -> Tensor:
        """Cut one clip ``[samples]`` into what is encoded without regard to the rest of it, ``[n, ...]``."""

    @abstractmethod
    def embed(self, windows: Tensor) -> Tensor:
        """Encode windows ``[n, ...]`` into frames ``[n, D]``, or ``[n, T, D]`` where a window is a whole clip."""

    def to(self, device: str, precision: Precision = "fp32") -> Self:
        """Move it to a device, as PyTorch names them; what it computes in bf16 is its network alone."""
        self.device, self.precision = torch.device(device), precision if self.has_network else "fp32"
        bf16 = partial(torch.autocast, self.device.type, torch.bfloat16)
        self.autocast = nullcontext if self.precision == "fp32" else bf16
        for part in vars(self).values():
            if isinstance(part, nn.Module):
                part.to(self.device)
        return self

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Encode one mono clip ``[samples]`` at the encoder's rate, full scale 1, into frames ``[T, D]``."""
        return self.encode([torch.tensor(waveform, dtype=torch.float32)])[0]

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[Tensor]) -> list[FloatArray]:
        """Encode some clips ``[samples]``; on an accelerator, in common batches.

        Raises
        ------
        InputError
            Not even one window fits into memory.
        """
        clips = [self.windows(waveform.to(self.device)) for waveform in waveforms]
        if self.device.type == "cpu":
            frames = list(map(self._embed_all, clips))
        else:
            frames = []
            for _, alike in groupby(clips, lambda clip: clip.shape[1:]):
                group = list(alike)
                frames += torch.split(self._embed_all(torch.cat(group)), list(map(len, group)))
        return [np.asarray(part.reshape(-1, part.shape[-1]).float().cpu().numpy()) for part in frames]

    def _embed_all(self, windows: Tensor) -> Tensor:
        size, parts, done = self._most or self.batch, [], 0
        while done < len(windows):
            try:
                parts.append(self.embed(windows[done : done + size]))
            except RuntimeError as error:
                if not any(words in str(error) for words in OUT_OF_MEMORY):
                    raise
                if size == 1:
                    what = f"a window of {self.spec.name} does not fit into the memory that {self.device} has left"
                    raise InputError(f"{what}; free some, cut clips with clip-seconds, or set device = cpu") from error
                size = size // 2
                self._most = size if self.device.type != "cpu" else 0
                _release(self.device)
                continue
            done += size
            self._most = self._most or self._affordable(size)
            size = self._most or size
        return torch.cat(parts)

    def _affordable(self, size: int) -> int:
        """Windows that fit into free memory, by what a batch of some has just taken; 0 on a CPU: as ever."""
        if self.device.type not in ("cuda", "xpu"):
            return 0 if self.device.type == "cpu" else 4 * self.batch
        module = torch.get_device_module(self.device)
        free, _ = module.mem_get_info(self.device)
        taken = module.max_memory_allocated(self.device) - module.memory_allocated(self.device)
        spare = free + module.memory_reserved(self.device) - module.memory_allocated(self.device)
        return int(min(MOST, max(size, SHARE * spare * size / max(1, taken))))


def htk_triangles(sample_rate: int, fft: int, bands: int, low: float, high: float) -> NDArray[np.float64]:
    """Make triangular filters ``[fft / 2 + 1 bins, bands]`` of height 1 between two frequencies, Hz.

    They are linear on the HTK mel scale.
    """
    bins = _mel(np.linspace(0.0, sample_rate / 2, fft // 2 + 1))[:, None]
    lowest, highest = _mel(np.array([low, high]))
    edges = np.linspace(lowest, highest, bands + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127.0 * np.log1p(hertz / 700.0)


def _release(device: torch.device) -> None:
    """Give back what PyTorch holds of an accelerator's memory and does not use."""
    if device.type in ("cuda", "xpu", "mps"):
        torch.get_device_module(device).empty_cache()
