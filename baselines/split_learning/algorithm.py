"""The two halves of a training step, on tensors: no messages.

The cut is that of `collab_asd.classifier.backbones`. Standardisation and mixing stay with the client; the head, its
class directions and all labels are at the server. AdamW treats each number apart, so one optimiser per half does what
one for the whole network would do: with a single client, split training *is* unsplit training.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from collab_asd.classifier.backbones import TwoStages
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import WindowSampler
from collab_asd.classifier.settings import TrainingSettings
from collab_asd.classifier.training import (
    Draw,
    Labels,
    build_head,
    build_optimizer,
    draw_epoch,
    gather,
    labels_of,
    mixed_loss,
)

Arrays = dict[str, NDArray[Any]]
MOMENT = "moment/"
STAGE_STATE = "client_stage_state"
"""What messages call the state of a client's first stage: its arrays, and the moments of its optimiser."""


class ClientHalf:
    """The first stage of the ID classifier at one client, for one round of it.

    What it has learnt is its `state`, which the server hands on to the next client or averages: the stage's arrays, and
    the moments of its optimiser, so that training goes on as if there were one client.

    Parameters
    ----------
    model : IdClassifier
        Of which the first stage and the standardisation are used.
    sampler : WindowSampler
    settings : TrainingSettings
    seed : int
        Decides which windows are drawn.
    """

    def __init__(self, model: IdClassifier, sampler: WindowSampler, settings: TrainingSettings, seed: int) -> None:
        self._model, self._sampler = model, sampler
        self._stage = _stages(model).first.train()
        self._optimizer = build_optimizer(self._stage.parameters(), settings)
        self._draws = draw_epoch(sampler, settings, np.random.default_rng(seed))
        self._sent: Tensor | None = None

    @property
    def steps(self) -> int:
        """Batches of the round."""
        return len(self._draws)

    def activations(self, step: int) -> tuple[Tensor, Labels]:
        """Carry a batch, counted from 0, through the first stage -> ``[B, ...]``, and its classes."""
        draw = self._draws[step]
        self._sent = self._forward(draw)
        return self._sent.detach(), labels_of(self._sampler, draw)

    def learn(self, step: int, gradient: Tensor) -> None:
        """Follow the server's gradient with respect to the activations of a batch."""
        sent = self._forward(self._draws[step]) if self._sent is None else self._sent
        self._optimizer.zero_grad()
        # On the device and in the layout of what was sent: sums of another layout would be rounded otherwise.
        sent.backward(torch.empty_like(sent).copy_(gradient))  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._sent = None

    def state(self) -> Arrays:
        """View what was learnt so far: the next step changes it, and `activations` move batch statistics."""
        return stage_arrays(self._stage) | _moments(self._optimizer)

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        load_stage(self._stage, state)
        _load_moments(self._optimizer, state)
        self._sent = None

    def _forward(self, draw: Draw) -> Tensor:
        activations: Tensor = self._stage(gather(self._sampler, draw, self._model).unsqueeze(1))
        return activations


class ServerHalf:
    """The rest of the ID classifier and the head, at the server, for the whole training.

    Parameters
    ----------
    model : IdClassifier
        Its rest is trained in place; its class directions when `finish` is called.
    settings : TrainingSettings
    """

    def __init__(self, model: IdClassifier, settings: TrainingSettings) -> None:
        self._model = model
        self._rest = _stages(model).rest.train()
        self._head = build_head(model.directions, settings)
        self._optimizer = build_optimizer([*self._rest.parameters(), *self._head.parameters()], settings)

    def step(self, activations: Sequence[Tensor], labels: Sequence[Labels]) -> list[Tensor]:
        """Learn from the batches of some clients as from one; return the gradients with respect to what each sent."""
        leaves = [part.to(self._model.mean.device, copy=True).requires_grad_() for part in activations]
        self._optimizer.zero_grad()
        embeddings = self._rest(torch.cat(leaves)).split([len(leaf) for leaf in leaves])
        total = sum(len(leaf) for leaf in leaves)
        losses = [mixed_loss(self._head, e, its) * (len(e) / total) for e, its in zip(embeddings, labels, strict=True)]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return [
            leaf.grad.to(part.device) for leaf, part in zip(leaves, activations, strict=True) if leaf.grad is not None
        ]

    def finish(self, client_stage_state: Mapping[str, NDArray[Any]]) -> IdClassifier:
        """Put the two halves together; the first is what the clients ended with."""
        load_stage(_stages(self._model).first, client_stage_state)
        with torch.no_grad():
            self._model.directions.copy_(self._head.W)
        return self._model.eval()


def new_first_stage(settings: ClassifierSettings, device: str = "cpu") -> IdClassifier:
    """Make a model for a `ClientHalf`: first stage and standardisation are to be set, and its rest takes no memory."""
    with torch.device("meta"):
        model = IdClassifier(settings)
    _stages(model).first.to_empty(device=device)
    model.mean, model.scale = (torch.empty(settings.dimension, device=device) for _ in range(2))
    return model


def pack(activations: Tensor, labels: Labels) -> Arrays:
    """Return what leaves a client in a step: activations ``[B, ...]``, classes, and by which share they were mixed."""
    return {
        "activations": activations.cpu().numpy(),
        "own": labels.own.numpy().astype(np.int32),
        "partners": labels.partners.numpy().astype(np.int32),
        "share": np.array(labels.share),
    }


def unpack(arrays: Mapping[str, NDArray[Any]]) -> tuple[Tensor, Labels]:
    """Read what `pack` returned."""
    activations, own, partners = (torch.from_numpy(np.array(arrays[n])) for n in ("activations", "own", "partners"))
    return activations, Labels(own.long(), partners.long(), float(arrays["share"]))


def first_stage_state(model: IdClassifier) -> Arrays:
    """Return the state that round 1 begins with: the first stage, and no moments yet."""
    return stage_arrays(_stages(model).first)


def finished_stage_state(model: IdClassifier, settings: TrainingSettings) -> Arrays:
    """Return arrays of the names, types and shapes of a state that a client's turn ends with: moments, too."""
    stage = copy.deepcopy(_stages(model).first)
    optimizer = build_optimizer(stage.parameters(), settings)
    for parameter in stage.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return stage_arrays(stage) | _moments(optimizer)


def activation_shape(model: IdClassifier) -> tuple[int, ...]:
    """Shape of what the first stage makes of one window."""
    stage, window = copy.deepcopy(_stages(model).first).eval(), (model.settings.stack, model.settings.dimension)
    with torch.no_grad():
        return tuple(stage(torch.zeros(1, 1, *window)).shape[1:])


def averaged(states: Sequence[Mapping[str, NDArray[Any]]], weights: Sequence[float]) -> Arrays:
    """Average states by some weights, moments and batch statistics included; one alone stays as it is."""
    first, *others = states
    if not others:
        return dict(first)
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    return {
        name: np.asarray(
            sum(share * state[name].astype(np.float64) for share, state in zip(shares, states, strict=True))
        ).astype(first[name].dtype)
        for name in first
    }


def stage_arrays(stage: nn.Module) -> Arrays:
    """Return the parameters and buffers of a stage, on a CPU as views."""
    return {name: tensor.cpu().numpy() for name, tensor in stage.state_dict().items()}


def load_stage(stage: nn.Module, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Set parameters and buffers of a stage from `stage_arrays`."""
    stage.load_state_dict(
        {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if not name.startswith(MOMENT)}
    )


def _stages(model: IdClassifier) -> TwoStages:
    if not isinstance(model.backbone, TwoStages):
        raise TypeError(f"backbone {model.settings.backbone!r} cannot be split")
    return model.backbone


def _moments(optimizer: torch.optim.Optimizer) -> Arrays:
    return {
        f"{MOMENT}{number}/{name}": value.cpu().numpy()
        for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
        for name, value in optimizer.state[parameter].items()
    }


def _load_moments(optimizer: torch.optim.Optimizer, state: Mapping[str, NDArray[Any]]) -> None:
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        if key.startswith(MOMENT):
            number, name = key.removeprefix(MOMENT).split("/")
            states.setdefault(int(number), {})[name] = torch.from_numpy(np.array(value))
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
