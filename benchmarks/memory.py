"""Peak anonymous memory of an in-process run of many clients, all of whose embeddings pass through the server.

    python benchmarks/memory.py [--clients 20] [--clips 1000] [--epochs 1]

Frames are drawn at random (96 x 512 fp32 per clip, a little more than random-conv gives for 10 s) and lie in the cache
as if they had been computed; no recording is read. Everything after that is the real run: ClientApp, messages,
strategy, training, scoring.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from collab_asd.config import RunConfig
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.encoders.random_conv import RandomConv, demo_key
from collab_asd.federation import client_data
from collab_asd.federation.grid import Rules, SupervisedGrid
from collab_asd.federation.inprocess import InProcessGrid
from collab_asd.federation.meeting import meet_clients
from collab_asd.interfaces import Clip, Partition
from collab_asd.threads import pin_threads
from simulations import client_app, methods
from simulations.memory import PeakMemory

FRAMES, DIMENSION, TEST_CLIPS = 96, 512, 20


def draw_partition(client: int, clips: int, cache: EmbeddingCache, encoder: RandomConv) -> Partition:
    """Put random frames of one client's clips, with a mean of their own, into the cache."""
    rng = np.random.default_rng(client)
    centre = rng.normal(size=DIMENSION)
    drawn = []
    for i in range(clips + TEST_CLIPS):
        digest = hashlib.sha256(f"{client}/{i}".encode()).hexdigest()
        clip = Clip(Path(digest), "fan", f"{client:02d}", "train" if i < clips else "test", None, digest)
        cache.store(encoder.spec, clip, (centre + rng.normal(size=(FRAMES, DIMENSION))).astype(np.float32))
        drawn.append(clip)
    drawn.sort(key=lambda clip: clip.sha256)
    return Partition(client, tuple(drawn), (0,) * len(drawn), (client,) * len(drawn))


def main() -> None:
    """Print the peak and what passed through."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as scratch:
        cache, encoder = EmbeddingCache(Path(scratch) / "embeddings"), RandomConv(demo_key(0))
        partitions = [draw_partition(k, args.clips, cache, encoder) for k in range(args.clients)]
        # The recordings are made up, so what would read them is told of the partitions instead.
        client_data.load_partitions = lambda config, clients: partitions
        config = replace(RunConfig(), epochs=args.epochs, cache_dir=scratch)
        pin_threads(config.threads)
        start = time.perf_counter()
        with PeakMemory() as memory:
            grid = InProcessGrid(client_app.app, args.clients, config.to_mapping())
            supervised = SupervisedGrid(grid, meet_clients(grid, 1, config.timeout), Rules(config.timeout))
            method = methods.build(config)
            method.run(supervised)
    sent = sum(supervised.traffic.up.values()) / 1e9
    print(f"{args.clients} clients x {args.clips} clips: {sent:.2f} GB of embeddings through the server")
    print(f"peak anonymous memory {memory.peak_mb / 1000:.2f} GB, {time.perf_counter() - start:.0f} s")
    print({phase: round(seconds, 1) for phase, seconds in method.watch.seconds.items()})


if __name__ == "__main__":
    main()
