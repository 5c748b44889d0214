"""What each way of fusing covariance sharing's scores loses against the best single score: forms and constants.

    python benchmarks/fusion.py [DATA] [--seeds 0,1,2] [--clips 5,10,20,40,80,175] [--draws 1]

Four scores of each clip: by the levels alone or by the whole summary, with nothing shared or with the others. The best
of the four, on average over the machines of a type, is what a fusion is held against; it is known afterwards only.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from misfits import Machine, as_they_are, recorded, synthetic, views
from rich.console import Console
from rich.table import Table
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from collab_asd.core.runtime import pin_threads
from collab_asd.core.types import ScoreArray, SpaceScores
from collab_asd.detection.second_order import add, pooled_sums

SINGLE = ("levels, alone", "all, alone", "levels, with others", "all, with others")
HALF_WEIGHTS = (0.0, 50.0, 100.0, 200.0, 400.0, np.inf)
SHARPNESS = (1.0, 2.0, 3.0, 6.0, np.inf)


def z_scores(space: SpaceScores) -> ScoreArray:
    """Test scores in units of the held-out ones, as logarithms."""
    normal = np.log(space.normal)
    return np.asarray((np.log(space.test) - normal.mean()) / max(normal.std(), 1e-6))


def soft_maximum(levels: ScoreArray, whole: ScoreArray, sharpness: float) -> ScoreArray:
    """As of the fusion; with infinite sharpness the maximum."""
    if np.isinf(sharpness):
        return np.maximum(levels, whole)
    return np.asarray(logsumexp(sharpness * np.array([levels, whole]), axis=0, b=0.5) / sharpness)


def fusions(scores: list[ScoreArray], n: int) -> dict[str, ScoreArray]:
    """Each form and constant that was compared: one view, and two views."""
    levels, whole, shared_levels, shared = scores
    found = {f"one view, {half:g}": share(n, half) * levels + shared for half in HALF_WEIGHTS}
    for sharpness in SHARPNESS:
        alone, pooled = soft_maximum(levels, whole, sharpness), soft_maximum(shared_levels, shared, sharpness)
        halves = HALF_WEIGHTS if sharpness in (3.0, np.inf) else (200.0, np.inf)
        found |= {f"two views, {half:g}, sharpness {sharpness:g}": share(n, half) * alone + pooled for half in halves}
    return found | {"two views, maximum of four": np.max(scores, axis=0)}


def share(n: int, half: float) -> float:
    """Weight of the scores with nothing shared."""
    return n / (n + half)


def measure(machines: Mapping[str, Machine], n: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Mean AUC of each score and fusion over the machines of each type."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for kind in sorted({name.split("/")[0] for name in machines}):
        group = as_they_are(dict(machines), [name for name in sorted(machines) if name.startswith(f"{kind}/")], n, rng)
        parts = pooled_sums([points for points, *_ in group])
        for (points, test, labels), part in zip(group, parts, strict=True):
            spaces = [*views(points, test, None), *views(points, test, add(parts).without(part))]
            scores = [z_scores(space) for space in spaces]
            for name, score in {**dict(zip(SINGLE, scores, strict=True)), **fusions(scores, n)}.items():
                found[kind][name].append(float(roc_auc_score(labels, score)))
    return {kind: {name: float(np.mean(aucs)) for name, aucs in of.items()} for kind, of in found.items()}


def main() -> None:
    """Print the loss of each fusion by type over all n, its mean, and its worst over types and n."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("--seeds", default="0,1,2", help="of synthetic machines, where no folder is named")
    parser.add_argument("--clips", default="5,10,20,40,80,175")
    parser.add_argument("--draws", type=int, default=1)
    args = parser.parse_args()
    pin_threads(1)
    sets = [recorded(args.data)] if args.data else [synthetic(int(seed), 175) for seed in args.seeds.split(",")]
    aucs: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    for n in map(int, args.clips.split(",")):
        for number, machines in enumerate(sets):
            for draw in range(args.draws if n < min(len(points) for points, *_ in machines.values()) else 1):
                for kind, of in measure(machines, n, np.random.default_rng((n, number, draw))).items():
                    aucs[kind, n].append(of)
    means = {
        key: {name: float(np.mean([of[name] for of in found])) for name in found[0]} for key, found in aucs.items()
    }
    kinds = sorted({kind for kind, _ in means})
    table = Table("fusion", *kinds, "mean", "worst", "at")
    for name in next(iter(means.values())):
        losses = {key: of[name] - max(of[single] for single in SINGLE) for key, of in means.items()}
        by_kind = [float(np.mean([loss for (kind, _), loss in losses.items() if kind == k])) for k in kinds]
        worst = min(losses, key=lambda key: losses[key])
        shown = (f"{loss:+.4f}" for loss in (*by_kind, float(np.mean(by_kind)), losses[worst]))
        table.add_row(name, *shown, f"{worst[0]}, {worst[1]}")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
