"""What the weights and batch statistics of federated averaging tell of one client.

Adversary: the server, or whoever reads its messages; it sees the model that each client returns before it is averaged.
Knowledge: the models of all rounds, f_c. Goals, measures, chance levels:

- *membership inference*: whether a recording that the adversary holds was among a client's training clips, from how
  sure the client's own model is of the client's class, and from how much surer the client's training has made it. AUC;
  chance 0.5. Members and others are those of `collab_asd.audit.membership`.
- *a client's mean spectrum*, from the running means of its first batch normalisation in place of the sums that it tells
  (`collab_asd.audit.pooled_sums`): the mean of a layer without an offset is that of its input, by its weights.

Source: R. Shokri et al., "Membership inference attacks against machine learning models", IEEE S&P 2017; M. Nasr,
R. Shokri and A. Houmansadr, "Comprehensive privacy analysis of deep learning: passive and active white-box inference
attacks against centralized and federated learning", IEEE S&P 2019 (a server that watches updates).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.fedavg.algorithm import put_together
from collab_asd.audit import membership
from collab_asd.audit import pooled_sums as mean_spectrum
from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit, AuditConfig
from collab_asd.audit.pooled_sums import ATTACK as MEAN_SPECTRUM
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.view import View
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.core.progress import step
from collab_asd.core.types import FloatArray, ScoreArray
from collab_asd.federation.client_data import ClientData, LocalMachine

TRAIN = "train"
WATCHED = 5  # last rounds whose models are compared
WEIGHT, RUNNING = "arrays/backbone.first.1.weight", "buffers/backbone.first.2.running_mean"
BATCHES = "buffers/backbone.first.2.num_batches_tracked"
MOMENTUM = 0.1  # of PyTorch's running means


@dataclass(frozen=True)
class Update:
    """One client's training in one round: all arrays of the model that it was sent, and of the one that it returned."""

    client: int
    group: int
    settings: ClassifierSettings
    sent: Mapping[str, NDArray[Any]]
    returned: Mapping[str, NDArray[Any]]

    def models(self) -> tuple[IdClassifier, IdClassifier]:
        """Rebuild the model before and after."""
        before, after = (
            put_together(self.settings, _named(arrays, "arrays/"), _named(arrays, "buffers/"))
            for arrays in (self.sent, self.returned)
        )
        return before, after


def updates(view: View) -> Iterator[Update]:
    """All updates in the order of rounds, client by client."""
    asked = {}
    for message in view.messages:
        if message.kind == TRAIN and message.way == "down":
            asked[message.client] = message
        elif message.kind == TRAIN and message.arrays and "settings" in asked[message.client].records:
            request = asked[message.client]
            settings = ClassifierSettings.from_plain(request.records["settings"])
            group = int(request.records["config"]["group"])
            yield Update(message.client, group, settings, request.arrays, message.arrays)


def attack_weights(case: Case, found: Audit) -> None:
    """Attack the updates of a run."""
    seen = list(updates(case.run.view))
    if not seen:
        found.missing.append("attacks on weights: the recorded view has none in the form of federated averaging")
        return
    means = batch_means(seen)
    if means:
        name = f"{MEAN_SPECTRUM}, from batch statistics"
        found.findings += mean_spectrum.attack(case.run, case.own, means, case.scope, name)
    else:
        found.missing.append(
            f"{MEAN_SPECTRUM}, from batch statistics: the model has none after a single layer; preset fast with "
            "normalization batch has"
        )
    _membership(case.run, seen, case.scope, found)
    found.missing.append("raw-data retrieval from weights (gradient inversion): not among the audit's attacks")


WEIGHTS = Attack(("weights",), attack_weights)


def batch_means(seen: Sequence[Update]) -> dict[int, FloatArray]:
    """Estimate the mean frame ``[D]`` of each client from what training has made of its running means."""
    guesses: dict[int, list[FloatArray]] = {}
    for update in seen:
        if update.settings.backbone == "light" and RUNNING in update.returned:
            guesses.setdefault(update.client, []).append(_mean_frame(update))
    return {client: np.asarray(np.mean(own, axis=0), np.float32) for client, own in guesses.items()}


def _mean_frame(update: Update) -> FloatArray:
    """Undo the exponential average, the first layer and the standardisation."""
    batches = float(update.returned[BATCHES]) - float(update.sent[BATCHES])
    kept = (1 - MOMENTUM) ** batches
    mean = (update.returned[RUNNING] - kept * update.sent[RUNNING]) / (1 - kept)
    weight = (update.sent[WEIGHT].astype(np.float64) + update.returned[WEIGHT]) / 2
    standardized, *_ = np.linalg.lstsq(weight, mean, rcond=1e-3)
    return np.asarray(standardized / update.sent["buffers/scale"] + update.sent["buffers/mean"], np.float32)


def _membership(run: AuditedRun, seen: Sequence[Update], scope: AuditConfig, found: Audit) -> None:
    """Judge how sure the models are of each machine's clips, relative to their mean over all clips in question."""
    sure: list[_Sureness] = []
    clients = list(run.clients())
    with step("membership, client by client", len(clients)) as advance:
        for client in clients:
            sure += [_sureness(client, machine, seen, scope) for machine in client.machines()]
            advance()
    members, others = (np.concatenate([getattr(s, side) for s in sure]) for side in ("members", "others"))
    if min(len(members), len(others)) < membership.FEWEST:
        found.missing.append(membership.too_few(len(others)))
        return
    last, gain = members[:, -1, 1], (members[:, :, 1] - members[:, :, 0]).mean(axis=1)
    others_last, others_gain = others[:, -1, 1], (others[:, :, 1] - others[:, :, 0]).mean(axis=1)
    found.findings.append(membership.finding("f_c and a client's last model", last, others_last))
    found.findings.append(membership.finding("f_c and what a client's rounds change", gain, others_gain))


@dataclass(frozen=True)
class _Sureness:
    """Cosines of clips with the direction of their class ``[n, rounds, before and after]``."""

    members: ScoreArray
    others: ScoreArray


def _sureness(client: ClientData, machine: LocalMachine, seen: Sequence[Update], scope: AuditConfig) -> _Sureness:
    own = [u for u in seen if (u.client, u.group) == (client.partition.client, machine.group)][-WATCHED:]
    pairs = [update.models() for update in own]
    clips = [*machine.train[: scope.per_client], *machine.calibration[: scope.per_client]]
    frames = client.frames(clips)
    sure = np.array(
        [[[membership.certainty(m, machine.machine_class, f) for m in pair] for pair in pairs] for f in frames]
    )
    sure -= sure.mean(axis=0)
    count = min(len(machine.train), scope.per_client)
    return _Sureness(sure[:count], sure[count:])


def _named(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
