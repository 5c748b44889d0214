"""What one dishonest client can do to the others: it sends another machine's embeddings as its own, or inflated ones.

    python benchmarks/poisoning.py DATA [--seeds 5] [--encoders random-conv,logmel]

Each machine in turn is dishonest, towards each other one. AUC by fusion and by the shared space alone, of the machine
that is imitated and the mean of all other honest ones; before, and after. Inflated embeddings (100 times) are shown as
they would do without the rule that excludes them; an honest consortium without that client stands beside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from statistics import mean

from auc_table import Loaded, interval, load
from rich.console import Console
from rich.table import Table
from sharing import MachineAuc, aucs, configs, fit, options, through, train

from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads
from collab_asd.core.types import MachineFrames

GAIN = 100
Row = tuple[float, float, float, float]


def outcomes(loaded: Loaded, config: RunConfig) -> dict[str, list[Row]]:
    """All AUCs of one seed, by what the dishonest client does."""
    machines = [frames for _, _, frames in loaded.machines]
    rows = defaultdict(list)
    honest = scored(loaded, machines, config)
    for liar, victim in permutations(range(len(machines)), 2):
        rows["nothing: all are honest"].append(row(honest, liar, victim))
        imitated = swapped(machines, liar, replace(machines[liar], normal=machines[victim].normal))
        rows["sends the victim's embeddings as its own"].append(row(scored(loaded, imitated, config), liar, victim))
    for liar in range(len(machines)):
        victim = (liar + 1) % len(machines)
        loud = replace(machines[liar], normal=[GAIN * clip for clip in machines[liar].normal])
        rows[f"inflates its embeddings {GAIN} times"].append(
            row(scored(loaded, swapped(machines, liar, loud), config), liar, victim)
        )
        others = [machine for i, machine in enumerate(machines) if i != liar]
        rows["is excluded"].append(row(scored(loaded, others, config), liar, victim))
    return rows


def scored(loaded: Loaded, sent: Sequence[MachineFrames], config: RunConfig) -> list[MachineAuc]:
    """Train on what was sent and score each machine's own clips."""
    codec, _ = fit(config.codec, sent)
    return aucs(loaded, train([through(codec, machine) for machine in sent], loaded, config), codec, config)


def swapped(machines: Sequence[MachineFrames], index: int, other: MachineFrames) -> list[MachineFrames]:
    return [other if i == index else machine for i, machine in enumerate(machines)]


def row(found: Sequence[MachineAuc], liar: int, victim: int) -> Row:
    """AUCs of the victim, and means over the other honest machines."""
    others = [one for i, one in enumerate(found) if i not in (liar, victim)]
    own = found[victim]
    return own.fusion, own.shared, mean(one.fusion for one in others), mean(one.shared for one in others)


def main() -> None:
    """Print the table."""
    args = options(__doc__).parse_args()
    pin_threads(RunConfig.threads)
    columns = ("victim, fusion", "victim, shared", "others, fusion", "others, shared")
    for name in args.encoders.split(","):
        seeds = [outcomes(load(config), config) for config in configs(args, name)]
        table = Table("one client", *columns, title=f"{name}, {args.seeds} seeds, all choices of who is dishonest")
        for what in seeds[0]:
            means = [[mean(column) for column in zip(*seed[what], strict=True)] for seed in seeds]
            table.add_row(what, *(interval(column) for column in zip(*means, strict=True)))
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
