"""What starting costs: whole commands against importing PyTorch and scikit-learn, and the plain loop, in CPU seconds.

    python benchmarks/startup.py DATA [--runs 5]

`collab-asd run` (with its report and without) on cached embeddings is compared with the import and the plain loop of
`flower_overhead.py` together; `collab-asd score` of one recording with the import alone. They take turns, and each
ratio is taken within a turn. All are processes of one thread, so that on a quiet machine CPU seconds are seconds.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from flower_overhead import plain_loop, timed

from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads
from collab_asd.monitoring.watch import recordings

IMPORT = [sys.executable, "-c", "import torch, sklearn.metrics"]
COMMAND = [sys.executable, "-m", "collab_asd.cli.main"]


def main() -> None:
    """Print each ratio of each turn, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="recordings of machines of one type")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    config = RunConfig(data_dir=str(args.data.absolute()), encoder="logmel", local_features="encoder", codec="fp32")
    pin_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    ratios = defaultdict(list)
    run = [*COMMAND, "run", "--data", str(args.data), "--encoder", "logmel", "--quiet"]
    run += ["--set", "local-features=encoder", "--set", "codec=fp32", "--out"]  # as the plain loop
    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch) / "first"
        seconds([*run, str(first), "--set", "report=false"])  # fills the cache
        detector = min((first / "detectors").iterdir())
        name = detector.name.partition("_")[2]
        recording = next(path for path in recordings([args.data]) if name in path.name)
        timed(plain_loop, config)
        for turn in range(args.runs):
            imports, plain = seconds(IMPORT), timed(plain_loop, config)[0]
            whole = seconds([*run, f"{scratch}/{turn}"])
            bare = seconds([*run, f"{scratch}/{turn}-bare", "--set", "report=false"])
            score = seconds([*COMMAND, "score", str(detector), str(recording), "--quiet"])
            print(
                f"import {imports:5.2f} s   plain loop {plain:5.2f} s   run {whole:5.2f} s   "
                f"without report {bare:5.2f} s   score {score:5.2f} s",
                flush=True,
            )
            ratios["run / (import + plain loop)"].append(whole / (imports + plain))
            ratios["run without report / (import + plain loop)"].append(bare / (imports + plain))
            ratios["score of one recording / import"].append(score / imports)
    for what, values in ratios.items():
        print(f"{what}: median {median(values):.2f} ({min(values):.2f} to {max(values):.2f})")


def seconds(command: list[str]) -> float:
    """CPU seconds of one process, user's and system's."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
