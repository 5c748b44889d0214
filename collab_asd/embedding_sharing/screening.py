"""Clients that f_s must not learn from: embeddings of another size than everybody's, machines with none to tell from.

A client that imitates another's embeddings is not found here: nothing tells it from the owner of an identical machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median, mode

import numpy as np

from collab_asd.codecs import FrameStatistics
from collab_asd.embedding_sharing.facts import ClientFacts
from collab_asd.embedding_sharing.store import SharedMachine

SAMPLE = 50  # clips of each machine: enough for a median
FEWEST = 3  # clients, for a median that one of them cannot move


def loud(sizes: Mapping[int, float], limit: float) -> dict[int, str]:
    """Find clients whose embeddings are more than `limit` times as large, or small, as the median client's.

    Examples
    --------
    >>> loud({0: 1.0, 1: 1.2, 2: 50.0}, limit=10)
    {2: "its embeddings are 41.7 times as large as the median client's"}
    """
    if len(sizes) < FEWEST:
        return {}
    usual = median(sizes.values())
    return {
        client: f"its embeddings are {size / usual if usual else np.inf:.3g} times as large as the median client's"
        for client, size in sizes.items()
        if not usual / limit <= size <= usual * limit
    }


def unlike(clients: Mapping[int, ClientFacts]) -> dict[int, str]:
    """Find clients that say something else of one and the same encoder than most do."""
    said = {client: (facts.dimension, facts.stack, facts.stack_hop) for client, facts in clients.items()}
    usual = mode(said.values())
    return {
        client: f"says that its encoder has (dimension, stack, stack-hop) = {facts}, and most say {usual}"
        for client, facts in said.items()
        if facts != usual
    }


def said_size(statistics: FrameStatistics) -> float:
    """Root mean square of a client's embeddings, by what it says of them."""
    return float(np.sqrt(np.mean(np.square(statistics.mean) + np.square(statistics.deviation), dtype=np.float64)))


def sent_size(machines: Sequence[SharedMachine]) -> float:
    """Root mean square of a client's embeddings: of the median clip among those that it sent."""
    clips = [clip for machine in machines for clip in machine.frames.normal[:SAMPLE]]
    return float(median(float(np.sqrt(np.mean(np.square(clip, dtype=np.float64)))) for clip in clips))


def alone(clients: Mapping[int, Sequence[tuple[int, int]]]) -> dict[int, str]:
    """Find clients with a machine, as group and class, whose group holds no other.

    Examples
    --------
    >>> alone({0: [(0, 0)], 1: [(1, 0)], 2: [(1, 1)]})
    {0: "of a machine's group no other is left to tell it from"}
    """
    places = {place for held in clients.values() for place in held}
    members = Counter(group for group, _ in places)
    return {
        client: "of a machine's group no other is left to tell it from"
        for client, held in clients.items()
        if any(members[group] < 2 for group, _ in held)
    }
