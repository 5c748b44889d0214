"""What one hostile client of four can do to the others: every poisoning that we know, in whole runs.

    python benchmarks/hostile_client.py DATA [--encoder logmel] [--seed 0] [--cache-dir DIR] [--clients 4]

The client of the highest number lies in one kind of message. Mean AUC of the others: by sharing, beside what they have
where all are honest, where that client takes no part, and where nothing is shared. What is refused at the door or by
the screens costs the others one machine to learn from; what is not is bounded by the caps of sums and by the fusion.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Message, RecordDict
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from collab_asd.config import RunConfig
from collab_asd.detection.second_order import TRIANGLE
from collab_asd.federation.grid import FIRST_CLIENT_NODE_ID, InProcessGrid
from collab_asd.federation.messages import DESCRIBE, EMBEDDINGS, SCATTER, VARIANCES, from_record, to_record
from collab_asd.report.reading import read_scores
from collab_asd.wire.codecs import parse
from simulations import client_app, server_app

Arrays = dict[str, NDArray[Any]]
Poison = Callable[[RecordDict, RecordDict], None]
"""Changes what the client answers; called with that and with the question."""


def _statistics(change: Callable[[Arrays], Arrays]) -> Poison:
    def apply(content: RecordDict, _: RecordDict) -> None:
        arrays = from_record(content.array_records["statistics"])
        content["statistics"] = to_record(arrays | change(arrays))

    return apply


def _page(change: Callable[[Arrays], Arrays]) -> Poison:
    def apply(content: RecordDict, _: RecordDict) -> None:
        arrays = from_record(content.array_records["page"])
        content["page"] = to_record(arrays | change(arrays))

    return apply


def _scatters(change: Callable[[Arrays], Arrays]) -> Poison:
    def apply(content: RecordDict, _: RecordDict) -> None:
        for name in [name for name in content.array_records if name.startswith(("scatter/", "sums/"))]:
            arrays = from_record(content.array_records[name])
            content[name] = to_record(arrays | change(arrays))

    return apply


def _tail(arrays: Arrays, scale: float = 1.0) -> Arrays:
    """Directions in which the client's own frames hardly vary, as long as its deviations allow."""
    directions = arrays["directions"].astype(np.float64)
    _, _, all_axes = np.linalg.svd(directions, full_matrices=True)
    tail = all_axes[::-1][: len(directions)]
    longest = 0.9 * (arrays["deviation"].astype(np.float64) / np.sqrt(np.square(tail).sum(axis=0) + 1e-9)).min()
    return {"directions": (scale * longest * tail).astype(np.float16)}


def _louder(arrays: Arrays, gain: float) -> Arrays:
    """All deviations alike and `gain` times as large, along directions of no meaning."""
    deviation = np.full_like(arrays["deviation"], gain * float(np.sqrt(np.square(arrays["deviation"]).mean())))
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(len(deviation), len(deviation))))[0]
    longest = 0.9 * float(deviation[0])
    return {"deviation": deviation, "directions": (longest * axes[: len(arrays["directions"])]).astype(np.float16)}


class _Fitting:
    """Tells statistics along directions of no meaning, and then sends random embeddings that have these statistics."""

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.told: Arrays = {}

    def __call__(self, content: RecordDict, request: RecordDict) -> None:
        if "statistics" in content:
            arrays = from_record(content.array_records["statistics"])
            self.told = arrays | _louder(arrays, self.gain)
            content["statistics"] = to_record(self.told)
            return
        page, plan = from_record(content.array_records["page"]), parse(RunConfig.codec)
        codec = plan.with_arrays(from_record(request.array_records["codec"]))
        spans = [(int(frames), plan.rows(int(frames))) for frames in page["lengths"]]
        drawn = self._drawn(sum(rows for _, rows in spans))
        pieces = np.split(drawn, np.cumsum([rows for _, rows in spans])[:-1])
        frames = [
            np.repeat(piece, -(-count // rows), axis=0)[:count]
            for piece, (count, rows) in zip(pieces, spans, strict=True)
        ]
        content["page"] = to_record(page | {"rows": np.concatenate([codec.encode(each) for each in frames])})

    def _drawn(self, count: int) -> NDArray[np.float32]:
        random, directions = np.random.default_rng(0), self.told["directions"].astype(np.float64)
        rest = np.sqrt(np.maximum(np.square(self.told["deviation"]) - np.square(directions).sum(axis=0), 0.0))
        along = random.normal(size=(count, len(directions))) @ directions
        return np.asarray(self.told["mean"] + along + rest * random.normal(size=(count, len(rest))), np.float32)


def _noise(arrays: Arrays) -> Arrays:
    rows, random = arrays["rows"], np.random.default_rng(0)
    return {"rows": random.permuted(rows, axis=0)}


def _matrix(arrays: Arrays, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Arrays:
    """Change a symmetric matrix that was sent as a triangle."""
    if "scatter" not in arrays:
        return {}
    matrix = np.zeros((256, 256))
    matrix[TRIANGLE] = arrays["scatter"]
    changed = change(matrix + np.triu(matrix, 1).T)
    return {"scatter": changed[TRIANGLE].astype(arrays["scatter"].dtype)}


def _rank_one(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    direction = np.random.default_rng(0).choice([-1.0, 1.0], 256)
    return np.outer(direction, direction) * float(matrix.diagonal().mean())


Attack = tuple[str | tuple[str, ...], Poison]
ATTACKS: dict[str, Attack] = {
    "statistics: 2^62 frames": (DESCRIBE, _statistics(lambda a: {"count": np.array(2**62)})),
    "statistics: ten times the frames": (DESCRIBE, _statistics(lambda a: {"count": a["count"] * 10})),
    "statistics: 2^62 frames, tail directions": (
        DESCRIBE,
        _statistics(lambda a: _tail(a) | {"count": np.array(2**62)}),
    ),
    "statistics: directions x 60000": (
        DESCRIBE,
        _statistics(lambda a: {"directions": np.clip(a["directions"] * 6e4, -6e4, 6e4).astype(np.float16)}),
    ),
    "statistics: tail directions": (DESCRIBE, _statistics(_tail)),
    "statistics: random directions, 9 times as long": (DESCRIBE, _statistics(lambda a: _louder(a, 9.0))),
    "random directions, 9 times as long, and embeddings that fit them": ((DESCRIBE, EMBEDDINGS), _Fitting(9.0)),
    "random directions as long as its own, and embeddings that fit them": ((DESCRIBE, EMBEDDINGS), _Fitting(1.0)),
    "statistics: mean moved by 5 deviations": (
        DESCRIBE,
        _statistics(lambda a: {"mean": a["mean"] + 5 * a["deviation"]}),
    ),
    "embeddings: rows of other clips, mixed up": (EMBEDDINGS, _page(_noise)),
    "embeddings: all of one value": (EMBEDDINGS, _page(lambda a: {"rows": np.full_like(a["rows"], 17)})),
    "embeddings: the sign turned": (EMBEDDINGS, _page(lambda a: {"rows": (-a["rows"]).astype(a["rows"].dtype)})),
    "covariances: variances x 1e6": (
        DESCRIBE,
        _scatters(lambda a: _matrix(a, lambda m: m * 1e6)),
    ),
    "covariances: variances x 100": (DESCRIBE, _scatters(lambda a: _matrix(a, lambda m: m * 100))),
    "covariances: variances / 1e6": (DESCRIBE, _scatters(lambda a: _matrix(a, lambda m: m / 1e6))),
    "covariances: one direction": (DESCRIBE, _scatters(lambda a: _matrix(a, _rank_one))),
    "covariances: of a million clips": (
        DESCRIBE,
        _scatters(lambda a: {"dof": np.array([999_999])} if "dof" in a else {}),
    ),
}
SUMS: dict[str, Attack] = {
    "sums: variances x 100": (VARIANCES, _scatters(lambda a: {"squares": a["squares"] * 100})),
    "sums: matrix of one direction": (SCATTER, _scatters(lambda a: _matrix(a, _rank_one))),
    "sums: matrix of nothing": (SCATTER, _scatters(lambda a: _matrix(a, np.zeros_like))),
    "sums: matrix x 1000": (SCATTER, _scatters(lambda a: _matrix(a, lambda m: np.clip(m * 1000, -2e9, 2e9)))),
}


class Hostile(InProcessGrid):
    """Clients of which the last one lies in some kinds of messages; without a poison it is silent there."""

    def __init__(
        self, clients: int, config: RunConfig, kinds: str | tuple[str, ...] = (), poison: Poison | None = None
    ) -> None:
        super().__init__(client_app.app, clients, config.to_mapping())
        self.liar, self.poison = FIRST_CLIENT_NODE_ID + clients - 1, poison
        self.kinds = (kinds,) if isinstance(kinds, str) else kinds

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        """Hand out replies, one of them changed."""
        sent = list(messages)
        replies = super().send_and_receive(sent, timeout=timeout)
        return [reply for request, reply in zip(sent, replies, strict=True) if self._changed(request, reply)]

    def _changed(self, request: Message, reply: Message) -> bool:
        lies = reply.metadata.src_node_id == self.liar and reply.metadata.message_type in self.kinds
        if lies and reply.has_content():
            if self.poison is None:
                return False
            with np.errstate(all="ignore"):
                self.poison(reply.content, request.content)
        return True


def run(
    config: RunConfig, clients: int, kind: str | tuple[str, ...] = (), poison: Poison | None = None
) -> tuple[float, str]:
    """Return the mean AUC of all but the last client, and why that one was excluded; empty: it was not."""
    with tempfile.TemporaryDirectory() as scratch:
        config = replace(config, results_dir=f"{scratch}/run")
        folder: Path = server_app.run(Hostile(clients, config, kind, poison), config, "inprocess")
        summary = json.loads((folder / "summary.json").read_bytes())
        rows = [
            row for row in read_scores(folder / "scores.csv").rows if row.client < clients - 1 and row.label is not None
        ]
    machines = sorted({(row.machine_type, row.machine_id) for row in rows})
    own = [[row for row in rows if (row.machine_type, row.machine_id) == machine] for machine in machines]
    aucs = [roc_auc_score([r.label for r in rows], [r.anomaly_score for r in rows]) for rows in own]
    return float(np.mean(aucs)), summary["excluded"].get(str(clients - 1), "")


def measured(config: RunConfig, clients: int) -> Iterator[tuple[str, float, str]]:
    """Yield what the last client does, the mean AUC of the others, and why it was excluded."""
    yield "nothing is shared", *run(replace(config, method="local-mahalanobis", encoder="logmel"), clients)
    for method, kind, attacks in (
        ("embedding-sharing", DESCRIBE, ATTACKS),
        ("covariance-sharing", VARIANCES, SUMS),
    ):
        chosen = replace(config, method=method)
        yield f"{method}: honest", *run(chosen, clients)
        yield f"{method}: takes no part", *run(chosen, clients, kind)
        for name, (of, poison) in attacks.items():
            yield name, *run(chosen, clients, of, poison)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--encoder", default="logmel")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--cache-dir", default="")
    args = parser.parse_args()
    table = Table("the last client", "AUC of the others", "excluded, because")
    config = RunConfig(
        data_dir=args.data, encoder=args.encoder, seed=args.seed, cache_dir=args.cache_dir, report=False, retries=0
    )
    for name, auc, why in measured(config, args.clients):
        table.add_row(name, f"{auc:.3f}", why or "–")
        print(f"| {name} | {auc:.3f} | {why or '–'} |", flush=True)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
