"""Compare `scores.csv` of some runs with those of an earlier revision, byte for byte.

    python benchmarks/same_scores.py REVISION [--set train-clips=12] [--set rounds=2]

Synthetic machines, seed 0, in process; each revision has a cache of its own, since it is to compute all of it. Exits
with 1 where a run differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = {
    "inference-client": ["inference=client"],
    "inference-server": ["inference=server"],
    "covariance-sharing": ["method=covariance-sharing"],
    "fedavg": ["method=fedavg"],
    "split-learning": ["method=split-learning"],
    "splitfed": ["method=splitfed"],
    "local-mahalanobis": ["method=local-mahalanobis"],
    "centralized": ["method=centralized", "encoder=waveform"],
}


def scores(tree: Path, settings: list[str], scratch: Path) -> bytes:
    """Run the package that lies in a tree; returns its table of scores."""
    results = scratch / tree.name / "-".join(settings)
    own = ["report=false", f"cache-dir={scratch / 'cache' / tree.name}"]
    pairs = [pair for setting in [*settings, *own] for pair in ("--set", setting)]
    start = "from collab_asd.cli.main import main; main()"
    command = [sys.executable, "-c", start, "run", "--quiet", "--out", str(results), *pairs]
    environment = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "100"}
    subprocess.run(command, cwd=scratch, env=environment, check=True, stdout=subprocess.DEVNULL)
    return (results / "scores.csv").read_bytes()


def main() -> None:
    """Print one line per run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="commit, branch or tag to compare this tree with")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of all runs; repeatable")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "earlier"
        earlier.mkdir()
        archive = subprocess.run(["git", "archive", args.revision], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", str(earlier)], input=archive, check=True)
        differing = 0
        for name, settings in RUNS.items():
            here, there = (scores(tree, [*settings, *args.set], Path(folder)) for tree in (ROOT, earlier))
            same = here == there
            print(f"{name}: {'identical' if same else 'DIFFERENT'}", flush=True)
            differing += not same
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
