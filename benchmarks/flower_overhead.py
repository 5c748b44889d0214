"""What Flower costs: embedding sharing in process against a plain loop over the same algorithm, on cached embeddings.

    python benchmarks/flower_overhead.py DATA [--rounds 5]

Both read the same cache, train the same f_s and score the same clips; the plain loop knows no message. They take turns,
and the ratio is taken pair by pair.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from statistics import median

from collab_asd import encoders
from collab_asd.config import RunConfig
from collab_asd.data.run_data import data_folder, load_partitions
from collab_asd.embedding_sharing.algorithm import algorithm_1
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.grid import SupervisedGrid, meet_clients
from collab_asd.federation.inprocess import InProcessGrid
from collab_asd.id_classifier.settings import PRESETS
from collab_asd.paths import cache_dir
from collab_asd.scorers import DetectorSettings
from collab_asd.threads import pin_threads
from simulations import client_app, methods
from simulations.engines import count_clients


def plain_loop(config: RunConfig) -> list[float]:
    """Run Algorithm 1 with no Flower at all; returns all scores."""
    encoder, cache = encoders.build(config), EmbeddingCache(cache_dir(config.cache_dir) / "embeddings")
    folder = data_folder(config, 0)
    clients = [ClientData(p, encoder, cache, folder, config.calibration) for p in load_partitions(config, 0)]
    machines = [client.machine_frames(machine) for client in clients for machine in client.machines()]
    stacking = (encoder.spec.stack, encoder.spec.stack_hop)
    results = algorithm_1(machines, PRESETS[config.preset], stacking, DetectorSettings.of(config), config.seed)
    return [float(score) for result in results for score in result.test]


def through_flower(config: RunConfig) -> list[float]:
    """Run the same as a Flower strategy on the in-process grid; returns all scores."""
    grid = InProcessGrid(client_app.app, count_clients(config, 0), config.to_mapping())
    supervised = SupervisedGrid(grid, meet_clients(grid, 1, config.timeout), config.timeout)
    method = methods.build(config)
    method.cache = None  # the plain loop keeps no classifiers, either
    return [float(score) for client in method.run(supervised) for score in client.anomaly_score]


def timed(run: object, config: RunConfig) -> tuple[float, list[float]]:
    """Seconds and scores of one run."""
    start = time.perf_counter()
    scores = run(config)  # type: ignore[operator]
    return time.perf_counter() - start, scores


def main() -> None:
    """Print seconds of each and the ratio of each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    config = RunConfig(data_dir=str(Path(args.data).absolute()))
    pin_threads(config.threads)
    plain_loop(config)  # fills the cache and warms up
    ratios = []
    for _ in range(args.rounds):
        (plain, expected), (flower, found) = timed(plain_loop, config), timed(through_flower, config)
        assert found == expected, "the two do not compute the same"
        ratios.append(flower / plain)
        print(f"plain loop {plain:6.2f} s   through Flower {flower:6.2f} s   ratio {ratios[-1]:.3f}")
    print(f"median ratio {median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f})")


if __name__ == "__main__":
    main()
