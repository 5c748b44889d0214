"""Clients that f_s must not learn from: embeddings of another size than everybody's, machines with none to tell from.

A client that imitates another's embeddings is not found here: nothing tells it from the owner of an identical machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median, mode

import numpy as np

from collab_asd.classifier.sampling import lengths_of
from collab_asd.core.types import FloatArray
from collab_asd.methods.embedding_sharing.pages import ClientDescription
from collab_asd.methods.embedding_sharing.store import SharedMachine
from collab_asd.wire.codecs import Codec, CodecPlan, FrameStatistics

SAMPLE = 50  # clips of each machine: enough for a median
HALF = 0.5  # of a machine's clips is kept back at most where long recordings stay whole, whatever the share
DRAWN, MOST_LEFT_OUT = 256, 16  # rows; clients, those with the largest embeddings
MOST_LOST = 0.1
"""Share of the others' variance that the codec may lose for one client's sake; with few clients, a fair share of it."""
MOST_APART = 4.0
"""Ratio at most of what a client's embeddings vary to what its statistics say."""
FEWEST = 3  # clients, for a median that one of them cannot move


def find_norm_outliers(sizes: Mapping[int, float], limit: float) -> dict[int, str]:
    """Find clients whose embeddings are more than `limit` times as large, or small, as the median client's.

    Examples
    --------
    >>> find_norm_outliers({0: 1.0, 1: 1.2, 2: 50.0}, limit=10)
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


def find_spoilers(statistics: Mapping[int, FrameStatistics], plan: CodecPlan) -> dict[int, str]:
    """Find clients without whose statistics the codec would keep clearly more of what the others have.

    Whatever they tell, this is what harms the others: axes, means and steps that their embeddings do not come through.
    An honest client with a machine of another kind takes its part of the codec, too: among n clients, 1/n at most. With
    fewer than three clients nobody is found.
    """
    found: dict[int, str] = {}
    left = dict(statistics)
    while len(left) >= FEWEST and plan.learns:
        codec, suspects = plan.fit(list(left.values())), sorted(left, key=lambda c: -described_size(left[c]))
        without = {c: plan.fit([told for o, told in left.items() if o != c]) for c in suspects[:MOST_LEFT_OUT]}
        kept: dict[int, list[float]] = {suspect: [] for suspect in without}
        for client, told in left.items():  # one client's rows at a time: those of thousands would take gigabytes
            rows = _drawn(told)
            lost = _lost(codec, rows, told)
            for suspect in without.keys() - {client}:
                kept[suspect].append(lost - _lost(without[suspect], rows, told))
        gains = {suspect: median(each) for suspect, each in kept.items()}
        worst = max(gains, key=lambda client: gains[client])
        if gains[worst] <= max(MOST_LOST, 1 / len(left)):
            break
        del left[worst]
        found[worst] = (
            f"with its statistics the codec loses {100 * gains[worst]:.0f} % more of the median other client's frames "
            "than without"
        )
    return found


def _drawn(told: FrameStatistics) -> FloatArray:
    """Draw rows ``[256, D]`` that have a client's statistics."""
    random = np.random.default_rng(0)
    rest = np.sqrt(np.maximum(np.square(told.deviation) - np.square(told.directions).sum(axis=0), 0.0))
    along = random.normal(size=(DRAWN, len(told.directions))) @ told.directions
    return np.asarray(told.mean + along + rest * random.normal(size=(DRAWN, len(rest))), np.float32)


def _variance(rows: FloatArray) -> float:
    """Sum of the variances of all dimensions of rows ``[n, D]``."""
    return float(np.var(rows, axis=0, dtype=np.float64).sum())


def _lost(codec: Codec, rows: FloatArray, told: FrameStatistics) -> float:
    """Share of the variance of rows that does not come through a codec."""
    total = float(np.square(told.deviation, dtype=np.float64).sum())
    error = float(np.square(codec.learnt_round_trip(rows) - rows, dtype=np.float64).sum(axis=1).mean())
    return error / total if total else 0.0


def find_mismatched(descriptions: Mapping[int, ClientDescription]) -> dict[int, str]:
    """Find clients that say something else of one and the same encoder than most do."""
    sizes = {client: (said.dimension, said.stack, said.stack_hop) for client, said in descriptions.items()}
    usual = mode(sizes.values())
    return {
        client: f"says that its encoder has (dimension, stack, stack-hop) = {own}, and most say {usual}"
        for client, own in sizes.items()
        if own != usual
    }


def described_size(statistics: FrameStatistics) -> float:
    """Root mean square of a client's embeddings, by what it says of them."""
    return float(np.sqrt(np.mean(np.square(statistics.mean) + np.square(statistics.deviation), dtype=np.float64)))


def received_size(machines: Sequence[SharedMachine]) -> float:
    """Root mean square of a client's embeddings: of the median clip among those that it sent."""
    return float(median(float(np.sqrt(np.mean(np.square(clip, dtype=np.float64)))) for clip in _sample(machines)))


def _sample(machines: Sequence[SharedMachine]) -> list[FloatArray]:
    return [clip for machine in machines for clip in machine.frames.normal[:SAMPLE]]


def contradiction(
    machines: Sequence[SharedMachine],
    said: ClientDescription,
    told: FrameStatistics | None,
    freedoms: Mapping[tuple[int, int], int],
    codec: Codec,
    calibration: float,
) -> str:
    """Say in which way what a client sent is not what it had told of it; empty: in none.

    What it told weighs in the codec and in the sums of covariances: by as much as it sends, and no more.

    Parameters
    ----------
    machines : sequence of SharedMachine
        What it sent.
    said : ClientDescription
    told : FrameStatistics or None
        None where the codec learns from none.
    freedoms : mapping of (int, int) to int
        Degrees of freedom of the covariances of its machines, by group and class, where it told some.
    codec : Codec
    calibration : float
        Share of each machine's normal clips, in [0, 1), that were kept back.
    """
    lengths = {(m.frames.group, m.frames.machine_class): lengths_of(m.frames.normal) for m in machines}
    if lengths.keys() != set(said.places):
        return "it sent clips of other machines than it has described"
    if told is not None:
        if told.count != (count := sum(codec.shaped_rows(n) for own in lengths.values() for n in own)):
            return f"its statistics are of {told.count:,} frames, and it sent {count:,}"
        sent, meant = _variance(np.concatenate(_sample(machines))), _variance(codec.learnt_round_trip(_drawn(told)))
        if not meant / MOST_APART <= sent <= meant * MOST_APART:
            return f"its embeddings vary {sent / meant if meant else np.inf:.3g} times as much as its statistics say"
    for place, freedom in freedoms.items():
        trained, kept = len(lengths[place]), max(calibration, HALF)
        if not trained <= freedom + 1 <= trained / (1 - kept):
            return f"its covariances are of {freedom + 1:,} clips of a machine, and it sent {trained:,} of them"
    return ""


def find_singletons(places: Mapping[int, Sequence[tuple[int, int]]]) -> dict[int, str]:
    """Find clients with a machine, as group and class, whose group holds no other: it cannot be told from any.

    Examples
    --------
    >>> find_singletons({0: [(0, 0)], 1: [(1, 0)], 2: [(1, 1)]})
    {0: "of a machine's group no other is left to tell it from"}
    """
    members = Counter(group for group, _ in {place for held in places.values() for place in held})
    return {
        client: "of a machine's group no other is left to tell it from"
        for client, held in places.items()
        if any(members[group] < 2 for group, _ in held)
    }
