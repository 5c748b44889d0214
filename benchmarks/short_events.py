"""Whether a sound of half a second anywhere in a clip is noticed, by scores of whole clips and of short segments.

    python benchmarks/short_events.py [DATA] [--seed 0] [--clips 20,100] [--draws 1] [--per-machine 15]

Machines are those of a folder, or eighteen synthetic ones. Into normal test clips half a second of a squeal, a band of
noise or clicks is put at a random place: powers of log-mel frames add up. Levels are relative to the clip's own mean
power. In data of synthetic machines half a second of a faulty clip, in place of as much of a normal one, is tried, too.

A segment's score is its Mahalanobis distance among the segments of the machine's own normal clips, by mean levels, with
nothing shared; the clip's is the highest. The fused score of whole clips and that one are standardized by held-out
normal clips. The latter is multiplied by n / (n + half weight) for n normal clips, and the higher of the former and of
the latter less a margin counts. The product's own detector, which does this in one way, is a row, too.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from misfits import by_detector, views
from numpy.random import Generator
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from collab_asd.core.runtime import pin_threads
from collab_asd.core.torch_audio import HOP, MEL_BANDS, SAMPLE_RATE, log_mel
from collab_asd.core.types import FloatArray, ScoreArray, SpaceScores
from collab_asd.data.audio import load_waveform
from collab_asd.data.layouts import find_clips
from collab_asd.data.synthetic import SyntheticSettings
from collab_asd.data.synthetic.dataset import clips
from collab_asd.detection.scorers import HALF_WEIGHT, fuse
from collab_asd.detection.scorers.gaussian import MahalanobisScorer, SpectrumScorer, contiguous_folds
from collab_asd.detection.second_order import (
    Others,
    add,
    clip_features,
    pooled_sums,
    summarize,
)
from collab_asd.detection.thresholds import threshold

Frames = list[FloatArray]
Machine = tuple[Frames, Frames, Frames]  # log-mel frames of normal clips, of normal and of faulty test clips
LEVELS = (-12, -6, 0)  # dB
NOTICED = ("squeal -12 dB", "squeal -6 dB", "band -6 dB")  # of which the share of alarms is shown, too
HALF = SAMPLE_RATE // 2  # samples
SEGMENTS = {"0.5-s segments": HALF // HOP + 1, "1-s segments": SAMPLE_RATE // HOP + 1}
FORMS = ((0, 0.0), (0, 1.0), (0, 2.0), (5, 1.0), (10, 1.0), (20, 1.0))  # half weight in clips, margin


def machines(data: str, seed: int) -> dict[str, Machine]:
    """Log-mel frames by machine."""
    found: dict[str, Machine] = defaultdict(lambda: ([], [], []))
    for name, split, label, waveform in _recorded(data) if data else _synthetic(seed):
        part = 0 if split == "train" else 1 + label
        centred = torch.tensor(waveform - np.float32(waveform.mean(dtype=np.float64)))
        found[name][part].append(log_mel(centred).numpy().astype(np.float16))
    return dict(found)


def _synthetic(seed: int) -> Iterator[tuple[str, str, int, FloatArray]]:
    for c in clips(SyntheticSettings(18, seed, train=175, test_normal=40, test_anomaly=40)):
        yield f"{c.machine.machine_type}/{c.machine.machine_id}", c.split, c.label, c.sound(10.0, SAMPLE_RATE)


def _recorded(data: str) -> Iterator[tuple[str, str, int, FloatArray]]:
    for clip in sorted(find_clips(Path(data)), key=lambda clip: str(clip.path)):
        yield clip.machine, clip.split, int(clip.label or 0), load_waveform(clip, SAMPLE_RATE)


def event(kind: str, rng: Generator) -> ScoreArray:
    """Half a second of a sound -> powers ``[t, 128]``."""
    time = np.arange(HALF) / SAMPLE_RATE
    if kind == "squeal":
        tone = 2 * np.pi * rng.uniform(1500, 4000) * time
        sound = np.sin(tone) + 0.5 * np.sin(2 * tone + rng.uniform(0, 6))
    elif kind == "band":
        centre, spectrum = rng.uniform(500, 6000), np.fft.rfft(rng.standard_normal(HALF))
        frequencies = np.fft.rfftfreq(HALF, 1 / SAMPLE_RATE)
        sound = np.fft.irfft(np.where(np.abs(np.log(frequencies / centre + 1e-9)) < np.log(1.3), spectrum, 0))
    else:
        sound = np.zeros(HALF)
        for start in range(0, HALF, HALF // 5):
            sound[start : start + 160] = rng.standard_normal(160) * np.exp(-np.arange(160) / 40)
    silence = np.zeros(2 * HOP)
    frames = log_mel(torch.tensor(np.concatenate([silence, sound, silence]), dtype=torch.float32))
    return np.asarray(10 ** (frames.numpy().astype(np.float64) / 10))


def with_event(frames: FloatArray, kind: str, level: int, rng: Generator) -> FloatArray:
    """Put an event somewhere into a clip's frames ``[T, 128]``."""
    powers, sound = 10 ** (frames.astype(np.float64) / 10), event(kind, rng)
    loud = np.sort(sound.sum(axis=1))[-HALF // HOP :].mean()
    start = rng.integers(0, len(powers) - len(sound))
    powers[start : start + len(sound)] += sound * (powers.sum(axis=1).mean() * 10 ** (level / 10) / loud)
    return np.asarray(10 * np.log10(powers), np.float32)


def with_part(frames: FloatArray, faulty: FloatArray, rng: Generator) -> FloatArray:
    """Put half a second of a faulty clip into a normal one."""
    changed, length = frames.copy(), HALF // HOP + 1
    start = rng.integers(0, min(len(frames), len(faulty)) - length)
    changed[start : start + length] = faulty[start : start + length]
    return changed


def anomalous_clips(machine: Machine, per_machine: int, parts: bool, rng: Generator) -> dict[str, Frames]:
    """Anomalous clips by what they are."""
    _, normal, faulty = machine
    found = {"long faults": faulty}
    for kind in ("squeal", "band", "clicks"):
        for level in LEVELS:
            found[f"{kind} {level} dB"] = [with_event(f, kind, level, rng) for f in normal[:per_machine]]
    if parts:
        pairs = zip(normal[:per_machine], faulty, strict=False)
        found["0.5 s of a fault"] = [with_part(n, f, rng) for n, f in pairs]
    return found


def segments(frames: FloatArray, length: int) -> ScoreArray:
    """Mean levels ``[s, 128]`` of segments of so many frames, overlapping by half."""
    sums = np.concatenate([np.zeros((1, MEL_BANDS)), frames.astype(np.float64).cumsum(axis=0)])
    starts = np.arange(0, len(frames) - length + 1, length // 2)
    return np.asarray((sums[starts + length] - sums[starts]) / length)


def by_segments(normal: Frames, test: Frames, length: int) -> SpaceScores:
    """Score clips by their most unusual segment."""
    known, new = ([segments(f, length) for f in part] for part in (normal, test))
    held_out = np.empty(len(known))
    for kept, out in contiguous_folds(len(known), 10):
        model = SpectrumScorer().fit(np.concatenate([known[i] for i in kept]))
        held_out[out] = [model.score(known[i]).max() for i in out]
    model = SpectrumScorer().fit(np.concatenate(known))
    return SpaceScores(np.log(held_out), np.log([model.score(clip).max() for clip in new]))


def standardized(space: SpaceScores) -> SpaceScores:
    """In deviations of held-out scores."""
    mean, deviation = space.normal.mean(), space.normal.std()
    return SpaceScores((space.normal - mean) / deviation, (space.test - mean) / deviation)


def scored(normal: Frames, test: Frames, points: ScoreArray, others: Others | None) -> dict[str, SpaceScores]:
    """Score clips in each way."""
    summaries = np.array([clip_features(frames) for frames in test])
    spaces = [*views(points, summaries, None), *views(points, summaries, others)]
    today = fuse(spaces, [HALF_WEIGHT, HALF_WEIGHT, 0.0, 0.0])
    levels, new = points[:, :MEL_BANDS].astype(np.float32), summaries[:, :MEL_BANDS].astype(np.float32)
    local = MahalanobisScorer().fit(levels)
    held_out = MahalanobisScorer().held_out(levels, np.arange(len(levels)))
    found = {
        "local-mahalanobis": SpaceScores(held_out, local.score(new)),
        "covariances, whole clips": today,
        "covariance-sharing": by_detector([summarize(f) for f in normal], [summarize(f) for f in test], others),
    }
    one, n = standardized(today), len(normal)
    for name, length in SEGMENTS.items():
        space = by_segments(normal, test, length)
        other, found[f"{name} alone"] = standardized(space), space
        for half, margin in FORMS:
            normal_scores, test_scores = (scores * n / (n + half) - margin for scores in (other.normal, other.test))
            higher = np.maximum(one.normal, normal_scores), np.maximum(one.test, test_scores)
            found[f"{name}, half weight {half}, margin {margin:g}"] = SpaceScores(*higher)
    return found


Row = dict[str, list[float]]


def measure(of_type: dict[str, Machine], n: int, per_machine: int, parts: bool, draw: int) -> dict[str, Row]:
    """Add a draw of n clips of each machine of a type -> by score the AUC of each kind of anomaly, and false alarms."""
    rng, results = np.random.default_rng((n, draw)), defaultdict[str, Row](lambda: defaultdict(list))
    chosen = {m: [clips[0][i] for i in np.sort(rng.permutation(len(clips[0]))[:n])] for m, clips in of_type.items()}
    points = {m: np.array([clip_features(f.astype(np.float64)) for f in frames]) for m, frames in chosen.items()}
    sums = pooled_sums(list(points.values()))
    for name, own in zip(of_type, sums, strict=True):
        sets = anomalous_clips(of_type[name], per_machine, parts, np.random.default_rng((7, draw)))
        normal = of_type[name][1]
        test = [*normal, *(clip for group in sets.values() for clip in group)]
        kinds = np.repeat([0, *range(1, 1 + len(sets))], [len(normal), *map(len, sets.values())])
        for score, space in scored(chosen[name], test, points[name], add(sums).without(own)).items():
            limit = threshold(space.normal, 0.1, "gamma")
            results[score]["false alarms, 10 % asked"].append(float((space.test[kinds == 0] > limit).mean()))
            for what in NOTICED:
                share = float((space.test[kinds == 1 + list(sets).index(what)] > limit).mean())
                results[score][f"alarms, {what}"].append(share)
            for kind, what in enumerate(sets, 1):
                these = (kinds == 0) | (kinds == kind)
                results[score][what].append(float(roc_auc_score(kinds[these] > 0, space.test[these])))
    return results


def main() -> None:
    """Print a row per number of clips and score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", default="20,100")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--per-machine", type=int, default=15)
    args = parser.parse_args()
    pin_threads(1)
    found = machines(args.data, args.seed)
    types = sorted({name.split("/")[0] for name in found})
    results: dict[tuple[int, str], Row] = defaultdict(lambda: defaultdict(list))
    for n, draw, kind in product(map(int, args.clips.split(",")), range(args.draws), types):
        of_type = {name: found[name] for name in sorted(found) if name.startswith(f"{kind}/")}
        for score, row in measure(of_type, n, args.per_machine, not args.data, draw).items():
            for what, values in row.items():
                results[n, score][what] += values
            if len(types) > 1:
                results[n, score][f"{kind} long"] += row["long faults"]
    columns = list(dict.fromkeys(what for row in results.values() for what in row))
    table = Table("n", "score", *columns)
    for (n, score), row in results.items():
        table.add_row(str(n), score, *(f"{np.mean(row[column]):.3f}" for column in columns))
    Console(width=240).print(table)


if __name__ == "__main__":
    main()
