"""AUC of covariance sharing against the number of clients, within a machine type and across types.

    python benchmarks/clients.py [DATA] [--seed 0] [--clips 10,100] [--draws 6] [--sizes 2,3,4,6,12,18,23]

One machine each; machines are those of a folder, or synthetic ones of six types: eighteen of the seed, and as many of
the next one for more clients than that. Each draw takes other machines and other normal clips. The gain is against the
same machines with nothing shared, on the same clips.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from misfits import as_they_are, judged, recorded, synthetic
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from collab_asd.core.runtime import pin_threads
from collab_asd.detection.second_order import add, pooled_sums

SIZES = "2,3,4,6,12,18,23"


def main() -> None:
    """Print a row per number of clips, kind of group and number of clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", default="10,100")
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--sizes", default=SIZES)
    args = parser.parse_args()
    pin_threads(1)
    sizes = [int(size) for size in args.sizes.split(",")]
    machines = recorded(args.data) if args.data else synthetic(args.seed)
    if not args.data and max(sizes) > len(machines):
        machines |= {f"{name} of the next seed": machine for name, machine in synthetic(args.seed + 1).items()}
    types = sorted({name.split("/")[0] for name in machines})
    groups = {"one type": [[name for name in sorted(machines) if name.split("/")[0] == kind] for kind in types]}
    groups |= {"all types": [sorted(machines)]} if len(types) > 1 else {}
    table = Table("clips", "machines of", "clients", "alone", "shared", "gain, 95 % interval over draws", "lowest gain")
    for n in map(int, args.clips.split(",")):
        for kind, pools in groups.items():
            for clients in (size for size in sizes if size <= min(map(len, pools))):
                means, gains = [], []
                for draw in range(args.draws):
                    rng = np.random.default_rng((args.seed, n, clients, draw))
                    found = []
                    for pool in pools:
                        chosen = [str(name) for name in rng.choice(pool, clients, replace=False)]
                        held = as_they_are(machines, chosen, n, rng)
                        parts = pooled_sums([points for points, *_ in held])
                        found += [judged(m, add(parts).without(p)) for m, p in zip(held, parts, strict=True)]
                    means.append(np.mean([shared for shared, *_ in found]))
                    gains.append(np.mean([shared - alone for shared, alone, _ in found]))
                deviation = float(np.std(gains, ddof=1)) if args.draws > 1 else math.nan
                half = student.ppf(0.975, args.draws - 1) * deviation / math.sqrt(args.draws)
                shared, gain = float(np.mean(means)), float(np.mean(gains))
                shown = f"{gain:+.3f} ± {half:.3f}"
                table.add_row(
                    str(n), kind, str(clients), f"{shared - gain:.3f}", f"{shared:.3f}", shown, f"{min(gains):+.3f}"
                )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
