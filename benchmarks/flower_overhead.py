"""What Flower costs: a method in process against a plain loop over the same algorithm, on cached embeddings.

    python benchmarks/flower_overhead.py DATA [--methods embedding-sharing fedavg split-learning] [--pairs 5]

Both read the same cache, train the same f_s, score and decide the same clips and keep the same detectors; the plain
loop knows no message. They take turns, and the ratio is taken pair by pair. Local scores look through the encoder, so
that no covariances travel: what these cost is not measured here.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from baselines.client_training.client import TrainingClips, round_seed
from baselines.client_training.rounds import frame_sums, pooled_statistics, settings_of, start_model
from baselines.fedavg.algorithm import put_together, take_apart, weighted_mean
from baselines.split_learning.algorithm import ClientHalf, ServerHalf, first_stage_state
from collab_asd import encoders
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import WindowSampler
from collab_asd.classifier.settings import PRESETS
from collab_asd.classifier.training import fit
from collab_asd.config import RunConfig
from collab_asd.core.files import cache_dir
from collab_asd.core.runtime import pin_threads
from collab_asd.core.seeding import derive
from collab_asd.core.types import MachineFrames
from collab_asd.data.run_data import data_folder, load_partitions
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.artifacts import save_client_artifacts
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.engines import count_clients
from collab_asd.federation.grid import InProcessGrid, Rules, SupervisedGrid
from collab_asd.federation.roster import meet_clients
from collab_asd.federation.scoring import decided, score_with
from collab_asd.methods import build_method
from collab_asd.methods.embedding_sharing.algorithm import fit_detector, in_order_of_content, train_id_classifiers
from simulations import client_app


@dataclass(frozen=True)
class Everything:
    """All that a plain loop works on: clients, and the frames of the one machine that each holds (of one group)."""

    config: RunConfig
    clients: list[ClientData]
    machines: list[MachineFrames]
    stacking: tuple[int, int]

    def clips(self) -> list[TrainingClips]:
        """Return what each client trains on."""
        return [TrainingClips(list(m.normal), [m.machine_class] * len(m.normal)) for m in self.machines]

    def start(self) -> IdClassifier:
        """Return the model of round 1."""
        mean, deviation = pooled_statistics([frame_sums(own.clips) for own in self.clips()])
        settings = ClassifierSettings(
            PRESETS[self.config.preset].backbone, len(mean), *self.stacking, len(self.machines)
        )
        seed = derive(self.config.seed, "id-classifier", 0)
        return start_model(settings, mean, deviation, self.config.class_head, seed)


def embedding_sharing(all_: Everything) -> IdClassifier:
    """Train f_s on what all clients share."""
    sent = [in_order_of_content(machine) for machine in all_.machines]
    return train_id_classifiers(sent, PRESETS[all_.config.preset], all_.stacking, all_.config.seed)[0]


def federated_averaging(all_: Everything) -> IdClassifier:
    """Train at each client in turn and average, round by round."""
    model, rounds = all_.start(), settings_of(all_.config)
    for server_round in range(1, rounds.rounds + 1):
        parts, weights = [], []
        for client, own in zip(all_.clients, all_.clips(), strict=True):
            local = deepcopy(model)
            fit(local, own.clips, own.classes, rounds.training, round_seed(all_.config, client, 0, server_round))
            parts.append(take_apart(local))
            weights.append(len(own.clips))
        trained, buffers = (weighted_mean([part[i] for part in parts], weights) for i in (0, 1))
        model = put_together(model.settings, trained, buffers)
    return model


def split_learning(all_: Everything) -> IdClassifier:
    """Let one client after the other train its half against the server's."""
    model, rounds = all_.start(), settings_of(all_.config)
    state, server = first_stage_state(model), ServerHalf(model, rounds.training)
    for server_round in range(1, rounds.rounds + 1):
        for client, own in zip(all_.clients, all_.clips(), strict=True):
            sampler = WindowSampler(own.clips, own.classes, model.settings.stack, model.settings.stack_hop)
            seed = round_seed(all_.config, client, 0, server_round)
            half = ClientHalf(deepcopy(model), sampler, rounds.training, seed)
            half.restore(state)
            for step in range(half.steps):
                activations, labels = half.activations(step)
                (gradient,) = server.step([activations], [labels])
                half.learn(step, gradient)
            state = half.state()
    return server.finish(state)


PLAIN: dict[str, Callable[[Everything], IdClassifier]] = {
    "embedding-sharing": embedding_sharing,
    "fedavg": federated_averaging,
    "split-learning": split_learning,
}


def plain_loop(config: RunConfig) -> list[float]:
    """Train and score with no Flower at all; returns all scores."""
    encoder, cache = encoders.build(config), EmbeddingCache(cache_dir(config.cache_dir) / "embeddings")
    folder = data_folder(config, 0)
    clients = [ClientData(p, encoder, cache, folder, config.calibration) for p in load_partitions(config, 0)]
    held = [(client, machine) for client in clients for machine in client.machines()]
    machines = [client.machine_frames(machine) for client, machine in held]
    stacking = (encoder.spec.stack, encoder.spec.stack_hop)
    f_s = PLAIN[config.method](Everything(config, clients, machines, stacking))
    scores = []
    for (client, machine), frames in zip(held, machines, strict=True):
        detector = fit_detector(f_s, frames, DetectorSettings.of(config))
        scored = [score_with(detector, frames, normal=machine.normal, test=machine.test)]
        save_client_artifacts(client, scored, config, Path(config.results_dir))
        scores += decided(client.partition.client, scored, config).anomaly_score.tolist()
    return scores


def through_flower(config: RunConfig) -> list[float]:
    """Run the same as a Flower method on the in-process grid; returns all scores."""
    grid = InProcessGrid(client_app.app, count_clients(config, 0), config.to_mapping())
    method, clients = build_method(config), meet_clients(grid, 1, config.timeout).clients
    supervised = SupervisedGrid(grid, clients, Rules(config.timeout), check=method.check_reply)
    if hasattr(method, "cache"):
        method.cache = None  # the plain loop keeps no classifiers, either
    return [float(score) for client in method.run(supervised) for score in client.anomaly_score]


def timed(run: Callable[[RunConfig], list[float]], config: RunConfig) -> tuple[float, list[float]]:
    """Seconds of the processor and scores of one run: both have one thread, and others may use the machine."""
    start = time.process_time()
    scores = run(config)
    return time.process_time() - start, scores


def compare(config: RunConfig, pairs: int) -> None:
    """Print seconds of each and the ratio of each pair, and of the fastest ones: other programs slow down both."""
    for run in (plain_loop, through_flower):
        run(config)  # fills the cache and warms up
    seconds = []
    for _ in range(pairs):
        (plain, expected), (flower, found) = timed(plain_loop, config), timed(through_flower, config)
        assert found == expected, "the two do not compute the same"
        seconds.append((plain, flower))
        print(f"plain loop {plain:6.2f} s   through Flower {flower:6.2f} s   ratio {flower / plain:.3f}", flush=True)
    ratios, (plain, flower) = [flower / plain for plain, flower in seconds], map(min, zip(*seconds, strict=True))
    print(
        f"{config.method}: median ratio {median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f}); "
        f"fastest {plain:.2f} s and {flower:.2f} s, ratio {flower / plain:.3f}"
    )


def main() -> None:
    """Compare each method with its plain loop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="recordings of machines of one type")
    parser.add_argument("--methods", nargs="+", choices=PLAIN, default=list(PLAIN))
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    for method in args.methods:
        options: dict[str, Any] = {"encoder": "logmel", "local_features": "encoder", "codec": "fp32"}
        with TemporaryDirectory() as results:
            config = RunConfig(method=method, data_dir=str(args.data.absolute()), results_dir=results, **options)
            pin_threads(config.threads)
            compare(config, args.pairs)


if __name__ == "__main__":
    main()
