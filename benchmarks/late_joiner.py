"""A machine that joins a trained federation: f_s kept as it is, or tuned on what the server kept, or trained anew.

    python benchmarks/late_joiner.py DATA [--seeds 5] [--encoders random-conv,logmel] [--epochs 1,3]

Each machine in turn is the one that joins. AUC by fusion and by the shared space alone: of the newcomer, and the mean
of those that were there before. The codec is the default one, fitted without the newcomer but for "trained anew". No
covariances are shared: a run with `join` shares none.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

from auc_table import Loaded, interval, load
from rich.console import Console
from rich.table import Table
from sharing import MachineAuc, aucs, configs, fit, options, through, train

from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads

Found = dict[str, tuple[list[MachineAuc], float]]  # of each way: every machine's AUC, and seconds of training


def join(loaded: Loaded, newcomer: int, config: RunConfig, epochs: Sequence[int]) -> Found:
    """Train without one machine, then let it join in each way."""
    machines = [frames for _, _, frames in loaded.machines]
    before = [frames for i, frames in enumerate(machines) if i != newcomer]
    codec, _ = fit(config.codec, before)
    anew, _ = fit(config.codec, machines)
    old = train([through(codec, machine) for machine in before], loaded, config)
    all_sent = [through(codec, machine) for machine in machines]
    found: Found = {"f_s as it is": (aucs(loaded, old, codec, config), 0.0)}
    for count in epochs:
        begun = time.perf_counter()
        tuned = train(all_sent, loaded, config, old, count)
        found[f"tuned, {count} epochs"] = aucs(loaded, tuned, codec, config), time.perf_counter() - begun
    begun = time.perf_counter()
    fresh = train([through(anew, machine) for machine in machines], loaded, config)
    found["trained anew"] = aucs(loaded, fresh, anew, config), time.perf_counter() - begun
    return found


def main() -> None:
    """Print the table."""
    parser = options(__doc__)
    parser.add_argument("--epochs", default="1,3", help="of tuning")
    args = parser.parse_args()
    pin_threads(RunConfig.threads)
    for name in args.encoders.split(","):
        epochs = [int(count) for count in args.epochs.split(",")]
        seeds = [table_of(replace(config, share_covariances=False), epochs) for config in configs(args, name)]
        columns = ("newcomer, fusion", "newcomer, shared", "others, fusion", "others, shared", "training, s")
        table = Table("f_s", *columns, title=f"{name}, {args.seeds} seeds, each machine in turn the newcomer")
        for way in seeds[0]:
            values = zip(*(seed[way] for seed in seeds), strict=True)
            table.add_row(way, *(interval(column) for column in values))
        Console(width=140).print(table)


def table_of(config: RunConfig, epochs: Sequence[int]) -> dict[str, list[float]]:
    """Means over the choice of newcomer, with one seed."""
    loaded, rows = load(config), defaultdict(list)
    for newcomer in range(len(loaded.machines)):
        for way, (found, seconds) in join(loaded, newcomer, config, epochs).items():
            own, others = found[newcomer], [one for i, one in enumerate(found) if i != newcomer]
            before = mean(one.fusion for one in others), mean(one.shared for one in others)
            rows[way].append((own.fusion, own.shared, *before, seconds))
    return {way: [mean(column) for column in zip(*values, strict=True)] for way, values in rows.items()}


if __name__ == "__main__":
    main()
