"""What the audits of all methods of this kind need: the clients whose recordings they attack."""

from __future__ import annotations

from collections.abc import Iterator

from collab_asd.audit.run import AuditedRun
from collab_asd.federation.client_data import ClientData


def clients_of(run: AuditedRun) -> Iterator[ClientData]:
    """Return the clients with their recordings and embeddings, to tell how right an adversary is."""
    for partition in run.partitions:
        yield ClientData(partition, run.encoder, run.ear.cache, run.folder, run.config.calibration)
