"""The client's half of split learning: activations of the next batch for the gradient of the last one.

A client's turn is ``steps + 1`` messages: step 0 brings the first stage, each further one the gradient of the batch
before, and the last one is answered with the first stage as it is then. Between messages the turn lies in the client's
Flower context, since another process may answer the next one, or the same message may come again: the first stage as it
was at a checkpoint, and the gradients since. The process that answered the last message goes on with what it has in
memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from flwr.app import ConfigRecord, MetricRecord, RecordDict
from torch import Tensor

from baselines.client_training.client import round_seed, training_clips
from baselines.client_training.rounds import settings_of
from baselines.split_learning.algorithm import STAGE_STATE, ClientHalf, new_first_stage, pack
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import WindowSampler
from collab_asd.config import RunConfig
from collab_asd.core.runtime import resolve_device
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.messages import arrays_in, to_record

KEPT = ("settings", "budget", "standardisation", STAGE_STATE)  # of what step 0 brings
CHECKPOINT, GRADIENT = "checkpoint", "gradient"
STEPS_BETWEEN = 4  # checkpoints: each copies the first stage with the moments of its optimiser


@dataclass(frozen=True)
class Turn:
    """Where a client stands: before which step of which round of which group."""

    group: int
    server_round: int
    step: int


_IN_MEMORY: WeakKeyDictionary[ClientData, tuple[Turn, ClientHalf]] = WeakKeyDictionary()


def train(client: ClientData, config: RunConfig, state: RecordDict, content: RecordDict) -> RecordDict:
    """Learn from the gradient that came, if any; send the activations of the next batch, or the stage after the last.

    Parameters
    ----------
    state : RecordDict
        Of the client's Flower context, where the turn is kept.
    """
    turn = Turn(**{key: int(str(value)) for key, value in content["turn"].items()})
    _keep(state, turn.step, content)
    expected, half = _IN_MEMORY.pop(client, (None, None))
    if half is None or expected != turn:
        half = _rebuild(client, config, state, turn)
    else:
        half.learn(turn.step - 1, _gradient(content, GRADIENT))
    if turn.step == half.steps:
        clips = len(training_clips(client, turn.group).clips)
        return RecordDict({STAGE_STATE: to_record(half.state()), "metrics": MetricRecord({"num-examples": clips})})
    if turn.step == _checkpoint(state) + STEPS_BETWEEN:
        state[STAGE_STATE] = to_record(half.state())
        _set_checkpoint(state, turn.step)
    activations, labels = half.activations(turn.step)
    _IN_MEMORY[client] = Turn(turn.group, turn.server_round, turn.step + 1), half
    return RecordDict({"activations": to_record(pack(activations, labels))})


def _keep(state: RecordDict, step: int, content: RecordDict) -> None:
    """Keep what a message brings in the client's context."""
    if step == 0:
        for name in KEPT:
            state[name] = content[name]
        _set_checkpoint(state, 0)
    elif step > _checkpoint(state):  # else it has come before
        state[f"{GRADIENT}/{step - 1}"] = content[GRADIENT]


def _set_checkpoint(state: RecordDict, step: int) -> None:
    """Note that the stage in the state is that of before a step; gradients of before are of no more use."""
    for name in [name for name in state if name.startswith(GRADIENT)]:
        del state[name]
    state[CHECKPOINT] = ConfigRecord({"step": step})


def _checkpoint(state: RecordDict) -> int:
    return int(str(state[CHECKPOINT]["step"]))


def _gradient(content: RecordDict, name: str) -> Tensor:
    return torch.from_numpy(np.array(arrays_in(content, name)[GRADIENT]))


def _rebuild(client: ClientData, config: RunConfig, state: RecordDict, turn: Turn) -> ClientHalf:
    """Build this client's half as it is before a step from what the context keeps."""
    model = _model(client, ClassifierSettings.from_plain(state["settings"]), resolve_device(config.device))
    standardisation = arrays_in(state, "standardisation")
    model.mean.copy_(torch.from_numpy(np.array(standardisation["mean"])))
    model.scale.copy_(torch.from_numpy(np.array(standardisation["scale"])))
    own = training_clips(client, turn.group)
    sampler = WindowSampler(own.clips, own.classes, model.settings.stack, model.settings.stack_hop)
    seed = round_seed(config, client, turn.group, turn.server_round)
    share = own.share(state["budget"])
    half = ClientHalf(model, sampler, settings_of(config, share=share).training, seed)
    half.restore(arrays_in(state, STAGE_STATE))
    for step in range(_checkpoint(state), turn.step):
        half.learn(step, _gradient(state, f"{GRADIENT}/{step}"))
    return half


@lru_cache(maxsize=32)  # a turn takes less time than to build a network
def _model(client: ClientData, settings: ClassifierSettings, device: str) -> IdClassifier:
    """Return a model whose first stage this client may overwrite in every turn."""
    return new_first_stage(settings, device)
