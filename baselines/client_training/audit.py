"""The audit of methods whose clients train f_s: what such a run's sums, weights or activations tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from collab_asd.federation.client_data import ClientData
from collab_asd.privacy import mean_spectrum
from collab_asd.privacy.adversary import hear
from collab_asd.privacy.outcome import Audit, Scope
from collab_asd.privacy.run import AuditedRun
from collab_asd.privacy.sounds import Heard
from collab_asd.privacy.stealing import parties

Attacks = Callable[[AuditedRun, Sequence[Heard], Scope, Audit], None]
"""Adds what attacks on one method find, and what they could not measure, to an audit."""


def audit(run: AuditedRun, data: Path, scope: Scope, attacks: Attacks) -> Audit:
    """Attack the sums that all methods of this kind begin with, and then what is the method's own.

    Parameters
    ----------
    run : AuditedRun
    data : Path
        Folder of the adversary's own sounds.
    scope : Scope
    attacks : callable

    Raises
    ------
    InputError
        The adversary has too few sounds of its own.
    """
    found = Audit(parties=parties(run))
    own = hear(run, data, scope)
    mean_spectrum.add(run, own, scope, found)
    attacks(run, own, scope, found)
    return found


def clients_of(run: AuditedRun) -> Iterator[ClientData]:
    """Return the clients with their recordings and embeddings, to tell how right an adversary is."""
    for partition in run.partitions:
        yield ClientData(partition, run.encoder, run.ear.cache, run.folder, run.config.calibration)
