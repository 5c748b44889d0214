"""How soon and how fast `collab-asd score` answers: seconds to the first verdict, and times real time on one core.

    python benchmarks/score.py DETECTOR FOLDER_OF_RECORDINGS

The command runs as a user runs it, imports and all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import soundfile

from collab_asd.monitoring.watch import recordings


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    seconds_of_sound = sum(soundfile.info(path).duration for path in recordings([args.folder]))
    command = [sys.executable, "-m", "collab_asd.cli.main", "score", args.detector, str(args.folder), "--quiet"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter() - start
        verdicts = 1 + sum(1 for _ in process.stdout)
    rest = time.perf_counter() - start - first
    speed = seconds_of_sound * (verdicts - 1) / verdicts / rest
    print(f"first verdict after {first:.2f} s; {verdicts} verdicts; after the first, {speed:.0f} times real time")


if __name__ == "__main__":
    main()
