"""The attacks by name, and the audit that carries them out.

An attack says of which kind of method it attacks what is shared: two methods that share weights meet the same attacks.
One is added by a file that exports an `Attack`, and by its line in `ATTACKS`, or by an entry point of the group
``collab_asd.attacks`` in a package of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from collab_asd.audit.findings import Audit, AuditConfig, hear, parties
from collab_asd.audit.observations import ObservedClip
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.threat_models import LEAKS
from collab_asd.core.errors import InputError
from collab_asd.core.progress import step
from collab_asd.core.registry import Registry
from collab_asd.methods import METHODS, Shared


@dataclass(frozen=True)
class Sides:
    """Who attacks whom: recordings of one client are leaked, the others' are attacked."""

    leaks: Sequence[ObservedClip]
    attacked: Sequence[ObservedClip]
    unseen: Sequence[ObservedClip]


@dataclass(frozen=True)
class Case:
    """What attacks work on.

    Parameters
    ----------
    run : AuditedRun
    data : Path
        Folder of the adversary's own sounds.
    scope : AuditConfig
    """

    run: AuditedRun
    data: Path
    scope: AuditConfig

    @cached_property
    def own(self) -> Sequence[ObservedClip]:
        """The adversary's own sounds. Raises `InputError` where it has too few."""
        return hear(self.run, self.data, self.scope)

    @cached_property
    def sides(self) -> Sides:
        """What was shared of the clients' recordings. Raises `InputError` where one client alone has shared any."""
        clients = self.run.trained_on(max(self.scope.per_client, LEAKS[-1]))
        leaking, *others = clients
        attacked = [clip for client in others for clip in clients[client][: self.scope.per_client]]
        if not attacked:
            raise InputError(f"{self.run.results}: one client alone has sent embeddings, and the audit needs two")
        return Sides(clients[leaking], attacked, self.run.not_trained_on(set(others)))


@dataclass(frozen=True)
class Attack:
    """One attack, or several that go together.

    Parameters
    ----------
    on : tuple of str
        What a method must share for it to apply.
    carry_out : callable
        Adds what it finds in a `Case`, and what it could not measure, to an `Audit`.
    """

    on: tuple[Shared, ...]
    carry_out: Callable[[Case, Audit], None]


ATTACKS: Registry[Attack] = Registry(
    "attack",
    "collab_asd.attacks",
    Attack,
    {
        "reconstruction": "collab_asd.audit.audit:RECONSTRUCTION",
        "speech": "collab_asd.audit.probes:SPEECH",
        "membership": "collab_asd.audit.audit:MEMBERSHIP",
        "mean-spectrum": "collab_asd.audit.pooled_sums:MEAN_SPECTRUM",
        "covariances": "collab_asd.audit.covariances:COVARIANCES",
        "answers": "collab_asd.audit.query_attacks:ANSWERS",
        "theft": "collab_asd.audit.model_extraction:THEFT",
        "weights": "baselines.fedavg.audit:WEIGHTS",
        "activations": "baselines.split_learning.audit:ACTIVATIONS",
        "scores-alone": "baselines.local.audit:SCORES_ALONE",
    },
)
"""In the order in which they are carried out."""


def audit(run: AuditedRun, data: Path, scope: AuditConfig) -> Audit:
    """Attack a run by all attacks on what its method shares; parameters as of `Case`.

    Raises
    ------
    InputError
        The adversary has too few sounds of its own, or the run does not show what its method says that it shares.
    """
    case, found = Case(run, data, scope), Audit(parties=parties(run))
    shared = METHODS.find(run.config.method).shares
    for name, attack in ATTACKS.loadable():
        if shared in attack.on:
            with step(f"attack {name}"):
                attack.carry_out(case, found)
    if not (found.findings or found.missing):
        found.missing.append(f"attacks on {run.config.method}: there is none on {shared} such as its clients sent")
    found.missing += [f"attack {name}: {why}" for name in ATTACKS if (why := ATTACKS.problem(name))]
    return found
