"""The ID-classification model f_s: frames of one clip in, an embedding per window out (paper, section IV-A).

Classes are numbers, as a rule 0 .. C-1: the machine's index within its group. What machine a number stands for only its
client knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.classifier.backbones import EMBEDDING_SIZE, LightNet, MobileFaceNet, stgram_light, stgram_mfn
from collab_asd.classifier.sampling import stacked_windows
from collab_asd.core.errors import InputError
from collab_asd.core.runtime import one_thread
from collab_asd.core.types import FloatArray
from collab_asd.wire.fields import MOST_DIMENSIONS, MOST_WINDOW, Value, require

CHANNELS_PER_GROUP = 16
MOST_CLASSES = 2**20
EMBED_BATCH = 64  # windows; fixed, because sums over batches of other sizes round differently
CHEAP = {"light"}
"""Backbones that are trained in one thread: training makes the last bits of sums into thousandths of an AUC."""
HEAR_WAVEFORMS = {"stgram-light", "stgram-mfn"}
"""Backbones whose frames are samples: these are alike wherever they stand in a frame, and get one gain."""


def group_normalized(network: nn.Module) -> nn.Module:
    """Put group normalisation in place of batch normalisation, everywhere in a network.

    Batch statistics of a client that holds one machine are that machine's own: normalising by them takes away what
    tells it from others. Group normalisation looks at one window at a time (Y. Wu and K. He, "Group normalization",
    ECCV 2018; K. Hsieh et al., "The non-IID data quagmire of decentralized machine learning", ICML 2020, section 5).
    """
    for name, layer in network.named_children():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(network, name, nn.GroupNorm(max(1, layer.num_features // CHANNELS_PER_GROUP), layer.num_features))
        else:
            group_normalized(layer)
    return network


@dataclass(frozen=True)
class ClassifierSettings:
    """The plain numbers that, with the arrays of `to_arrays`, make up a classifier; they travel in a message.

    Parameters
    ----------
    backbone : str
        A name of `BACKBONES`.
    dimension : int
        D, size of one frame.
    stack, stack_hop : int
        Frames in one window, and between the starts of two.
    classes : int
        C, number of machines in the group.
    normalization : str
        ``"batch"`` or ``"group"``.
    labels : tuple of int
        What the machines' numbers are, where they are not 0 .. C-1: one of the group takes no part.
    """

    backbone: str
    dimension: int
    stack: int
    stack_hop: int
    classes: int
    normalization: str = "batch"
    labels: tuple[int, ...] = ()

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return the inverse of `to_plain`.

        Raises
        ------
        ValueError
            They are no settings of a classifier, or of one that is absurdly large.
        """
        require(SETTINGS, {**NO_MORE, **plain})
        if plain["stack"] * plain["dimension"] > MOST_WINDOW:
            raise ValueError("a window of the ID classifier is too large")
        return cls(**{**plain, "labels": tuple(plain.get("labels", ()))})

    def to_plain(self) -> dict[str, Any]:
        """Lay out for JSON or a message; labels stand there only where there are some."""
        plain = asdict(self) | {"labels": list(self.labels)}
        return plain if self.labels else {name: value for name, value in plain.items() if name != "labels"}


NO_MORE: Mapping[str, Any] = {"normalization": "batch", "labels": []}
SETTINGS = {
    "backbone": Value(str),
    "dimension": Value(int, 1, MOST_DIMENSIONS),
    **dict.fromkeys(("stack", "stack_hop"), Value(int, 1, MOST_WINDOW)),
    "classes": Value(int, 1, MOST_CLASSES),
    "normalization": Value(str),
    "labels": Value(list, 0, 2**31 - 1, most=MOST_CLASSES),
}
"""What `ClassifierSettings` may be, wherever they come from."""

BACKBONES: dict[str, Callable[[ClassifierSettings], nn.Module]] = {
    "light": lambda settings: LightNet(settings.dimension),
    "mobilefacenet": lambda settings: MobileFaceNet(settings.stack, settings.dimension),
    "stgram-light": lambda settings: stgram_light(),
    "stgram-mfn": lambda settings: stgram_mfn(settings.stack),
}


class IdClassifier(nn.Module):
    """Standardisation of the input, a network, and a direction on the unit sphere for each class."""

    mean: Tensor
    scale: Tensor
    directions: Tensor

    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = _backbone(settings)
        self.register_buffer("mean", torch.zeros(settings.dimension))
        self.register_buffer("scale", torch.ones(settings.dimension))
        self.register_buffer("directions", torch.zeros(EMBEDDING_SIZE, settings.classes))

    def forward(self, windows: Tensor) -> Tensor:
        """Embed standardised windows ``[B, stack, D]`` -> ``[B, 128]``; only directions matter, not lengths."""
        return self.backbone(windows.unsqueeze(1))  # type: ignore[no-any-return]

    def standardize(self, windows: Tensor) -> Tensor:
        """Give every dimension of the frames the mean 0 and the standard deviation 1 that it had in training."""
        return (windows - self.mean) * self.scale

    @torch.inference_mode()
    def embed(self, frames: FloatArray) -> FloatArray:
        """Embed one clip ``[T, D]`` -> ``[w, 128]``, one row of length 1 per window."""
        if self.training:  # to set it takes as long as a layer, and clips come one at a time
            self.eval()
        windows, parts = stacked_windows(frames, self.settings.stack, self.settings.stack_hop), []
        with one_thread() if self.settings.backbone in CHEAP else nullcontext():
            for start in range(0, len(windows), EMBED_BATCH):
                batch = torch.from_numpy(np.array(windows[start : start + EMBED_BATCH])).to(self.mean.device)
                parts.append(F.normalize(self(self.standardize(batch))).cpu().numpy())
        return np.concatenate(parts)

    def predict(self, embedding: FloatArray) -> int:
        """Class of one clip, given as `embed` returns it: the largest sum of cosines over its windows."""
        directions = F.normalize(self.directions, dim=0).cpu().numpy()
        nearest = int(np.argmax((embedding @ directions).sum(axis=0)))
        return self.settings.labels[nearest] if self.settings.labels else nearest


def to_arrays(model: IdClassifier) -> dict[str, NDArray[np.generic]]:
    """Weights, statistics and class directions as plain arrays by name."""
    return {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}


def from_arrays(settings: ClassifierSettings, arrays: Mapping[str, NDArray[np.generic]]) -> IdClassifier:
    """Rebuild the classifier that `to_arrays` took apart.

    Raises
    ------
    InputError
        The arrays are those of another model.
    """
    with torch.device("meta"):  # nothing is drawn at random that the arrays would replace
        model = IdClassifier(settings)
    kinds = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    state = {name: torch.from_numpy(np.array(a)).to(kinds.get(name)) for name, a in arrays.items()}
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise InputError(f"the ID classifier's arrays do not fit its settings {settings}: {error}") from error
    return model.eval()


def _backbone(settings: ClassifierSettings) -> nn.Module:
    if settings.backbone not in BACKBONES:
        raise InputError(f"backbone {settings.backbone!r} is unknown: choose one of {', '.join(BACKBONES)}")
    network = BACKBONES[settings.backbone](settings)
    return group_normalized(network) if settings.normalization == "group" else network
