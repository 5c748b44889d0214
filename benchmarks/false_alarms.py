"""False-alarm rates reached against those asked for, by number of normal clips, with covariance sharing on arrays.

    python benchmarks/false_alarms.py [DATA] [--clips 20,40,80,175] [--draws 10] [--seeds 0]

Machines are those of a folder, or eighteen synthetic ones of each seed, pooled within their type. A draw takes so many
normal clips of each machine: at random, or, every other one, such as stand together. Rates are counted on the normal
test clips and, apart, on the training clips that the draw has left. 95 % intervals are over clips and draws: clips are
drawn again with replacement, the same ones in all draws, and draws, too.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from misfits import Machine, by_detector, recorded, synthetic
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from collab_asd.core.runtime import pin_threads
from collab_asd.core.types import ScoreArray
from collab_asd.detection.second_order import add, pooled_sums
from collab_asd.detection.thresholds import threshold

RATES = (0.1, 0.05, 0.01)
BOOTSTRAPS = 1000
Alarms = dict[str, list[NDArray[np.bool_]]]  # by machine, of each draw [rates, clips]


def drawn(clips: int, n: int, together: bool, rng: Generator) -> NDArray[np.intp]:
    """Positions of n of so many clips, in order."""
    if together:
        return rng.integers(0, clips - n + 1) + np.arange(n)
    return np.sort(rng.permutation(clips)[:n])


def of_group(
    machines: dict[str, Machine], n: int, together: bool, rng: Generator
) -> list[tuple[str, ScoreArray, ScoreArray, float]]:
    """By machine its held-out scores, those of test clips and then of the clips that are left, and the AUC."""
    chosen = {name: drawn(len(points), n, together, rng) for name, (points, *_) in machines.items()}
    normal = {name: machines[name][0][places] for name, places in chosen.items()}
    whole = [summaries[:, :2].reshape(n, -1) for summaries in normal.values()]
    parts, found = pooled_sums(whole), []
    for (name, summaries), part in zip(normal.items(), parts, strict=True):
        everything, test, labels = machines[name]
        left = np.delete(everything, chosen[name], axis=0)
        others, new = add(parts).without(part), np.concatenate([test, left])
        scores = by_detector(summaries, new, others)
        found.append((name, scores.normal, scores.test, float(roc_auc_score(labels, scores.test[: len(test)]))))
    return found


def measure(machines: dict[str, Machine], n: int, draws: int) -> tuple[Alarms, Alarms, float]:
    """Alarms on normal test clips and on clips that a draw left, and the mean AUC."""
    tested, left, aucs = defaultdict(list), defaultdict(list), []
    for draw in range(draws):
        rng = np.random.default_rng((n, draw))
        for kind in sorted({name.split("/")[0] for name in machines}):
            group = {name: machine for name, machine in machines.items() if name.startswith(f"{kind}/")}
            for name, held_out, scores, auc in of_group(group, n, bool(draw % 2), rng):
                labels = machines[name][2]
                limits = np.array([threshold(held_out, rate, "gamma") for rate in RATES])
                alarms = scores > limits[:, None]
                tested[name].append(alarms[:, : len(labels)][:, labels == 0])
                left[name].append(alarms[:, len(labels) :])
                aucs.append(auc)
    return tested, left, float(np.mean(aucs))


def interval(alarms: Alarms, rate: int, same_clips: bool) -> tuple[float, float, float]:
    """Mean over machines of the share of alarms, and its 95 % interval; clips left by draws are not the same."""
    rng = np.random.default_rng(0)
    draws = len(next(iter(alarms.values())))
    means = []
    for number in range(BOOTSTRAPS + 1):
        again = rng.integers(0, draws, draws) if number else np.arange(draws)
        shares = []
        for of_machine in alarms.values():
            places = rng.integers(0, of_machine[0].shape[1], of_machine[0].shape[1])
            of_draws = [of_machine[i][rate] for i in again]
            shares.append(np.mean([row[places] if number and same_clips else row for row in of_draws]))
        means.append(np.mean(shares))
    low, high = np.percentile(means[1:], [2.5, 97.5])
    return float(means[0]), float(low), float(high)


def main() -> None:
    """Print a row per number of clips and kind of normal clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("--clips", default="20,40,80,175")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seeds", default="0", help="of synthetic machines")
    args = parser.parse_args()
    pin_threads(1)
    machines = recorded(args.data, segments=True) if args.data else {}
    for seed in [] if args.data else map(int, args.seeds.split(",")):
        machines |= {
            f"{name.split('/')[0]}-{seed}/{name}": machine
            for name, machine in synthetic(seed, 175, segments=True).items()
        }
    table = Table("n", "AUC", "on", "normal clips", *(f"{rate:.0%} asked" for rate in RATES))
    for n in map(int, args.clips.split(",")):
        tested, left, auc = measure(machines, n, args.draws)
        for what, alarms in {"test clips": tested, "clips left": left}.items():
            clips = sum(rows.shape[1] for of_machine in alarms.values() for rows in of_machine)
            if not clips:
                continue
            found = [interval(alarms, i, what == "test clips") for i in range(len(RATES))]
            shares = (f"{mean:.1%} [{low:.1%}, {high:.1%}]" for mean, low, high in found)
            table.add_row(str(n), f"{auc:.3f}", what, f"{clips:,}", *shares)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
