"""Where sharing covariances loses, and whether the warning says so: made-up misfits, hits and misses.

    python benchmarks/misfits.py [TOYCAR] [--seed 2] [--clips 10,20,40,100]

Machines are synthetic ones of a seed, and real ones of a folder if one is named. In each mixture four machines have
clips of the three others among their normal ones, and the others' clips are the faults, as in a set of recordings whose
classes are each the normal one in turn. The warning reads normal clips alone; labels tell what sharing does to the AUC.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from collab_asd.core.runtime import pin_threads
from collab_asd.core.torch_audio import MEL_BANDS
from collab_asd.core.types import FloatArray, MachineFrames, ScoreArray, SpaceScores
from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.data.synthetic import SyntheticSettings
from collab_asd.data.synthetic.dataset import clips
from collab_asd.detection.detector import Detector
from collab_asd.detection.scorers import HALF_WEIGHT, OWN_SPECTRA, fuse
from collab_asd.detection.scorers.gaussian import SpectrumScorer, choose_weight
from collab_asd.detection.second_order import ClipSpectrum, Others, add, pooled_sums, suits
from collab_asd.methods.embedding_sharing.algorithm import own_spaces

Machine = tuple[ScoreArray, ScoreArray, ScoreArray]
"""Normal clips ``[n, 256]``, with segments ``[n, 2 + segments, 128]``; test clips; labels of these."""
LOSS = 0.03


def synthetic(seed: int, train: int = 100, segments: bool = False) -> dict[str, Machine]:
    """Eighteen synthetic machines of six types, by type and ID; with the segments of each clip if asked for."""
    settings, summarize = SyntheticSettings(18, seed, train=train, test_normal=40, test_anomaly=40), ClipSpectrum()
    return _by_machine(
        (
            (f"{c.machine.machine_type}/{c.machine.machine_id}", c.split, c.label, summarize(c.sound(10.0, 16_000)))
            for c in clips(settings)
        ),
        segments,
    )


def recorded(folder: str, segments: bool = False) -> dict[str, Machine]:
    """Machines of a data folder."""
    summarize = ClipSpectrum()
    return _by_machine(
        (
            (clip.machine, clip.split, int(clip.label or 0), summarize(load_waveform(clip, 16_000)))
            for clip in sorted(find_clips(Path(folder)), key=lambda clip: str(clip.path))
        ),
        segments,
    )


def _by_machine(found: Iterator[tuple[str, str, int, FloatArray]], segments: bool) -> dict[str, Machine]:
    parts: dict[str, tuple[list[ScoreArray], list[ScoreArray], list[int]]] = {}
    for name, split, label, summary in found:
        train, test, labels = parts.setdefault(name, ([], [], []))
        (train if split == "train" else test).append((summary if segments else summary[:2].ravel()).astype(np.float64))
        labels += [label] if split == "test" else []
    return {k: (np.array(train), np.array(test), np.array(labels)) for k, (train, test, labels) in parts.items()}


def drawn(machines: dict[str, Machine], name: str, n: int, rng: Generator) -> ScoreArray:
    """Draw normal clips of a machine."""
    return machines[name][0][rng.permutation(len(machines[name][0]))[:n]]


def as_they_are(machines: dict[str, Machine], names: list[str], n: int, rng: Generator) -> list[Machine]:
    """Take machines with n normal clips each."""
    return [(drawn(machines, name, n, rng), *machines[name][1:]) for name in names]


def mixtures(machines: dict[str, Machine], n: int, share: float, rng: Generator) -> list[Machine]:
    """Four machines with a share of the others' clips among their normal ones."""
    names, mixed = [str(name) for name in rng.choice(sorted(machines), 4, replace=False)], []
    normal = {name: machines[name][1][machines[name][2] == 0] for name in names}
    for name in names:
        others, foreign = [other for other in names if other != name], round(share * n)
        points = [drawn(machines, name, n - foreign, rng)]
        points += [drawn(machines, others[i % 3], 1, rng) for i in range(foreign)]
        test = np.concatenate([normal[name], *(normal[other] for other in others)])
        labels = (np.arange(len(test)) >= len(normal[name])).astype(int)
        mixed.append((rng.permutation(np.concatenate(points)), test, labels))
    return mixed


def joined(machines: dict[str, Machine], n: int, rng: Generator) -> list[Machine]:
    """Two machines, and two that are two or three machines each, in equal parts."""
    groups = []
    for count in (1, 1, *rng.integers(2, 4, 2)):
        names = [str(name) for name in rng.choice(sorted(machines), count, replace=False)]
        shares = [len(part) for part in np.array_split(np.arange(n), count)]
        points = [drawn(machines, name, share, rng) for name, share in zip(names, shares, strict=True)]
        test, labels = (np.concatenate([machines[name][i] for name in names]) for i in (1, 2))
        groups.append((rng.permutation(np.concatenate(points)), test, labels))
    return groups


def scenarios(machines: dict[str, Machine], real: dict[str, Machine], n: int) -> Iterator[tuple[str, list[Machine]]]:
    """Yield groups of machines that share, and what they are."""
    rng = np.random.default_rng(n)
    types = sorted({name.split("/")[0] for name in machines})
    for kind in types:
        names = [name for name in sorted(machines) if name.startswith(f"{kind}/")]
        yield "one type", as_they_are(machines, names, n, rng)
    for _ in range(6):
        yield "30 % clips of others", mixtures(machines, n, 0.3, rng)
        yield "15 % clips of others", mixtures(machines, n, 0.15, rng)
        kinds = rng.choice(types, 4, replace=False)
        unlike = [str(rng.choice([name for name in machines if name.startswith(f"{kind}/")])) for kind in kinds]
        yield "other types", as_they_are(machines, unlike, n, rng)
        yield "two or three machines as one, among pure ones", joined(machines, n, rng)
        if real:
            yield "real machines", as_they_are(real, sorted(real), n, rng)
            yield "real machines, 30 % clips of others", mixtures(real, n, 0.3, rng)


def judged(machine: Machine, others: Others | None) -> tuple[float, float, bool]:
    """Return the AUC of covariance sharing and with nothing shared, and whether the warning is given."""
    points, test, labels = machine
    own, pooled = views(points, test, None), views(points, test, others)
    shared = fuse([*own, *pooled], [HALF_WEIGHT, HALF_WEIGHT, 0.0, 0.0]).test
    alone = fuse(own, [0.0, 0.0]).test
    warned = not suits(own[1].normal, pooled[1].normal)
    return float(roc_auc_score(labels, shared)), float(roc_auc_score(labels, alone)), warned


def views(points: ScoreArray, test: ScoreArray, others: Others | None) -> list[SpaceScores]:
    """Score clips by their levels alone and by the whole summaries, as `own_spaces` does."""
    levels = points[:, :MEL_BANDS], test[:, :MEL_BANDS], others and others.of_levels
    return [_scored(*levels), _scored(points, test, others)]


def _scored(points: ScoreArray, test: ScoreArray, others: Others | None) -> SpaceScores:
    scorer: Any = SpectrumScorer(others, choose_weight(points, others))  # of 64 bits as of 32
    scorer.fit(points)
    view = "alone" if others is None else "with others"
    return SpaceScores(scorer.held_out(points, np.arange(len(points))), scorer.score(test), view=view)


def by_detector(
    normal: Iterable[FloatArray | ScoreArray], test: Iterable[FloatArray | ScoreArray], others: Others | None
) -> SpaceScores:
    """Score clips, given as summaries ``[2 + segments, 128]``, by the detector of covariance sharing."""
    clips = [clip.astype(np.float32) for clip in normal]
    detector = Detector(own_spaces(MachineFrames(0, 0, clips, spectra=MachineFrames(0, 0, clips)), OWN_SPECTRA, others))
    return detector.scores([detector.embed(clip, clip) for clip in (clip.astype(np.float32) for clip in test)])


def main() -> None:
    """Print a row for each kind of group, over all numbers of clips, and hits by number of clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--clips", default="10,20,40,100")
    args = parser.parse_args()
    pin_threads(1)
    machines, real = synthetic(args.seed), recorded(args.data) if args.data else {}
    found: list[tuple[str, int, float, bool]] = []
    for n in map(int, args.clips.split(",")):
        for kind, group in scenarios(machines, real, n):
            parts = pooled_sums([points for points, *_ in group])
            for machine, part in zip(group, parts, strict=True):
                shared, alone, warned = judged(machine, add(parts).without(part))
                found.append((kind, n, shared - alone, warned))
    table = Table("machines", "gain of AUC", f"lose {LOSS}", "warned of these", "of the others")
    for key in (*dict.fromkeys(kind for kind, *_ in found), *dict.fromkeys(n for _, n, *_ in found)):
        rows = [(gain, warned) for kind, n, gain, warned in found if key in (kind, n)]
        lost, others = [w for gain, w in rows if gain < -LOSS], [w for gain, w in rows if gain >= -LOSS]
        numbers = f"{len(lost)} of {len(rows)}", str(sum(lost)), f"{sum(others)} of {len(others)}"
        name = key if isinstance(key, str) else f"all with {key} clips"
        table.add_row(name, f"{np.mean([gain for gain, _ in rows]):+.3f}", *numbers)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
