"""False-alarm rates reached against those asked for, per machine.

    python benchmarks/false_alarms.py DATA [--seeds 5] [--encoder random-conv] [--threshold gamma]

Thresholds come from each client's own normal clips; the rates are counted on the normal test clips.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
from auc_table import DETECTORS, load, score_tables
from rich.console import Console
from rich.table import Table

from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads
from collab_asd.detection.evaluation import Evaluation, evaluate

RATES = (0.01, 0.05, 0.1)


def measure(config: RunConfig, seeds: int) -> dict[tuple[str, float], list[Evaluation]]:
    """Collect evaluations by detector and rate, one per seed."""
    found = defaultdict(list)
    for seed in range(seeds):
        seeded = replace(config, seed=seed)
        loaded = load(seeded)
        for rate in RATES:
            for name, table in score_tables(loaded, replace(seeded, false_alarm_rate=rate)).items():
                found[name, rate].append(evaluate(table))
    return found


def main() -> None:
    """Print one row per detector and rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--encoder", default=RunConfig.encoder)
    parser.add_argument("--threshold", choices=["gamma", "quantile"], default=RunConfig.threshold)
    parser.add_argument("--calibration", type=float, default=RunConfig.calibration)
    args = parser.parse_args()
    config = RunConfig(data_dir=args.data, encoder=args.encoder, threshold=args.threshold, calibration=args.calibration)
    pin_threads(config.threads)
    found = measure(config, args.seeds)
    machines = [m.machine for m in found[DETECTORS[0], RATES[0]][0].machines]
    table = Table("detector", "asked", *machines, "mean", "recall", title=f"{args.encoder}, mean of {args.seeds} seeds")
    for name in DETECTORS:
        for rate in RATES:
            runs = found[name, rate]
            rates = [np.mean([run.by_id("false_alarm_rate")[machine] for run in runs]) for machine in machines]
            recall = np.mean([run.total("recall") for run in runs])
            table.add_row(name, f"{rate:.0%}", *(f"{r:.1%}" for r in rates), f"{np.mean(rates):.1%}", f"{recall:.1%}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
