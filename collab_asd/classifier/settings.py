"""How the ID classifier is trained: the numbers, and the two presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from collab_asd.config import Normalization, Optimizer, RunConfig

Head = Literal["arcface", "fixed", "positive"]
SGD_LEARNING_RATE = 0.1  # the middle of three that were tried on toycar_tune, with every method


@dataclass(frozen=True)
class TrainingSettings:
    """How the ID classifier is trained.

    Parameters
    ----------
    backbone : str
        A name of `collab_asd.classifier.model.BACKBONES`.
    epochs, batch : int
        Passes, and windows per step.
    windows_per_class : int or None
        Windows drawn of each machine in an epoch; None takes them all.
    learning_rate : float
        The highest one where there is a schedule.
    one_cycle : bool
        Raise the learning rate from near zero and let it fall again (L. Smith, arXiv:1708.07120).
    margin : float
        Of ArcFace, in degrees.
    scale : float
        Of ArcFace: what cosines are multiplied with before the softmax.
    weight_decay : float
        Of AdamW.
    mixup : float
        Parameter of the symmetric beta distribution that shares of two mixed windows are drawn from
        (H. Zhang et al., arXiv:1710.09412); 0 mixes none.
    head : {"arcface", "fixed", "positive"}
        How class directions are learnt: by ArcFace; not at all (they stay where they are); or by pulling each window to
        the direction of its own class alone, up to a cosine of 0.9 (F. X. Yu et al., ICML 2020).
    proximal : float
        Weight mu of ``mu / 2 |w - w_0|^2``, the squared distance to the weights that training started from (T. Li et
        al., "Federated optimization in heterogeneous networks", MLSys 2020).
    normalization : {"batch", "group"}
        See `collab_asd.classifier.model`.
    optimizer : {"adamw", "sgd"}
        AdamW, or plain stochastic gradient descent: no momentum, no weight decay, nothing kept from step to step.
    """

    backbone: str
    epochs: int
    batch: int
    windows_per_class: int | None
    learning_rate: float
    one_cycle: bool
    margin: float = 28.6
    scale: float = 64.0
    weight_decay: float = 0.01
    mixup: float = 0.0
    head: Head = "arcface"
    proximal: float = 0.0
    normalization: Normalization = "batch"
    optimizer: Optimizer = "adamw"


PRESETS = {
    # Section V-B of the paper. It does not give margin, scale and weight decay: those are ArcFace's (section 3) and
    # PyTorch's default.
    "paper": TrainingSettings("mobilefacenet", 20, 32, None, 1e-4, one_cycle=False),
    # Ours, with another network; chosen on toycar_tune. Few epochs on purpose: a network that has learned its machines
    # by heart maps all normal clips of one to a point, and with them the faults that were to be found.
    "fast": TrainingSettings("light", 3, 64, 700, 5e-3, one_cycle=True, scale=16.0, mixup=0.5),
}


def training_of(config: RunConfig, preset: TrainingSettings | None = None) -> TrainingSettings:
    """Read how the ID classifier is trained out of a run's configuration.

    Parameters
    ----------
    config : RunConfig
    preset : TrainingSettings, optional
        What holds where the configuration does not say; by default what its preset says.
    """
    preset = preset or PRESETS[config.preset]
    return replace(
        preset,
        epochs=config.epochs or preset.epochs,
        learning_rate=learning_rate_of(config, preset.learning_rate),
        normalization=config.normalization,
        optimizer=config.optimizer,
    )


def learning_rate_of(config: RunConfig, of_adamw: float) -> float:
    """Learning rate of a run: as configured, or else by its optimiser."""
    return config.learning_rate or (SGD_LEARNING_RATE if config.optimizer == "sgd" else of_adamw)
