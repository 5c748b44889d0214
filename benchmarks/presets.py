"""Preset ``fast`` against ``paper``: AUC and CPU seconds of training, on the same embeddings and seed.

    python benchmarks/presets.py DATA [--encoder yamnet] [--weights yamnet.h5] [--threads 1]

CPU seconds, so that what else the machine does matters less. Preset ``paper`` takes more than an hour on a CPU.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from auc_table import COLUMNS, load, score

from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads


def main() -> None:
    """Print one line per preset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--encoder", default="yamnet")
    parser.add_argument("--weights", default="")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    config = RunConfig(data_dir=args.data, encoder=args.encoder, encoder_weights=args.weights, threads=args.threads)
    pin_threads(config.threads)
    loaded = load(config)
    for preset in ("fast", "paper"):
        start = time.process_time()
        result = score(loaded, replace(config, preset=preset))
        seconds = time.process_time() - start
        print(preset, f"{seconds:.0f} CPU s", {name: round(result[name], 4) for name in COLUMNS}, flush=True)


if __name__ == "__main__":
    main()
