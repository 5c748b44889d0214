"""Mean AUC over machines for encoders x scorers x seeds, with intervals and paired differences.

    python benchmarks/auc_table.py DATA [--seeds 5] [--encoders random-conv,logmel,yamnet] [--weights yamnet.h5]

Calls the algorithm directly, so that one trained f_s serves both of its scorers; a test holds that the same scores come
out of `collab-asd run`. For random-conv a seed is also a key.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from collab_asd import encoders
from collab_asd.classifier.settings import PRESETS
from collab_asd.config import RunConfig
from collab_asd.core.files import cache_dir
from collab_asd.core.runtime import pin_threads
from collab_asd.core.types import ANOMALY, MachineFrames, Partition, ScoreRow, ScoreTable
from collab_asd.data.run_data import data_folder, load_partitions
from collab_asd.detection.detector import Detector
from collab_asd.detection.evaluation import evaluate
from collab_asd.detection.scorers import DetectorSettings, ScorerSettings, looks_at_spectra
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.client_data import ClientData, LocalMachine
from collab_asd.federation.scoring import MachineScores, score_with
from collab_asd.methods.embedding_sharing.algorithm import fit_detector, fit_local_detector, train_id_classifiers

DETECTORS = ("local k-NN", "local Mahalanobis", "shared k-NN", "fusion")
COLUMNS = (*DETECTORS, "fusion - local k-NN", "fusion - local Mahalanobis", "ID accuracy")


@dataclass(frozen=True)
class Loaded:
    """Embeddings of all machines, and how frames are stacked."""

    machines: Sequence[tuple[ClientData, LocalMachine, MachineFrames]]
    stacking: tuple[int, int]


def load(config: RunConfig) -> Loaded:
    """Embed all clips, or read them from the cache."""
    encoder, cache = encoders.build(config), EmbeddingCache(cache_dir(config.cache_dir) / "embeddings")
    folder = data_folder(config, 0)
    clients = [ClientData(p, encoder, cache, folder, config.calibration) for p in load_partitions(config, 0)]
    spectra = looks_at_spectra(config)
    machines = [(c, m, c.machine_frames(m, with_spectra=spectra)) for c in clients for m in c.machines()]
    return Loaded(machines, (encoder.spec.stack, encoder.spec.stack_hop))


def score(loaded: Loaded, config: RunConfig) -> dict[str, float]:
    """Train f_s with one seed and return the mean over machines of each column."""
    tables = {name: evaluate(table) for name, table in score_tables(loaded, config).items()}
    result = {name: float(table.total("auc") or math.nan) for name, table in tables.items()}
    for local in DETECTORS[:2]:
        result[f"fusion - {local}"] = result["fusion"] - result[local]
    result["ID accuracy"] = float(tables["fusion"].total("id_accuracy") or math.nan)
    return result


def score_tables(loaded: Loaded, config: RunConfig) -> dict[str, ScoreTable]:
    """Train f_s with one seed and score all test clips with each of the four detectors."""
    frames = [f for _, _, f in loaded.machines]
    classifiers = train_id_classifiers(frames, PRESETS[config.preset], loaded.stacking, config.seed)
    settings = DetectorSettings.of(config)
    local = [ScorerSettings(name, config.metric) for name in ("knn", "mahalanobis")]
    rows: dict[str, list[ScoreRow]] = {name: [] for name in DETECTORS}
    for client, machine, f in loaded.machines:
        fused = fit_detector(classifiers[f.group], f, settings)
        alone = [fit_local_detector(f, scorer) for scorer in local]
        for name, detector in zip(DETECTORS, (*alone, Detector(fused.spaces[:1]), fused), strict=True):
            scores = score_with(detector, f, normal=machine.normal, test=machine.test)
            rows[name] += _rows(client.partition, scores, f.machine_class, scores.threshold(config))
    return {name: ScoreTable(tuple(found)) for name, found in rows.items()}


def _rows(partition: Partition, scores: MachineScores, own_class: int, limit: float) -> Iterator[ScoreRow]:
    predicted = scores.predicted or [None] * len(scores.test)
    for index, score, guess in zip(scores.test, scores.scores.test, predicted, strict=True):
        clip = partition.clips[index]
        decision, right = int(score > limit) * ANOMALY, guess == own_class
        machine = (partition.client, clip.machine_type, clip.machine_id)
        yield ScoreRow(*machine, clip.path.name, clip.label, float(score), limit, decision, right)


def interval(values: Sequence[float]) -> str:
    """Mean and 95 % Student interval over seeds."""
    mean, n = float(np.mean(values)), len(values)
    half = student.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return f"{mean:.3f} ± {half:.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--encoders", default="random-conv,logmel,yamnet")
    parser.add_argument("--weights", default="")
    parser.add_argument("--threads", type=int, default=RunConfig.threads)
    parser.add_argument("--metric", choices=["euclidean", "cosine"], default=RunConfig.metric)
    args = parser.parse_args()
    pin_threads(args.threads)
    chosen = {"data-dir": args.data, "metric": args.metric, "threads": args.threads}
    table = Table("encoder", *COLUMNS, title=f"mean AUC over machines, {args.seeds} seeds, 95 % interval over seeds")
    console = Console(width=160)
    for name in args.encoders.split(","):
        weights = args.weights if encoders.ENCODERS.find(name).weights else ""
        runs = [
            score(load(config), config)
            for seed in range(args.seeds)
            for config in [RunConfig.from_mapping(chosen | {"encoder": name, "encoder-weights": weights, "seed": seed})]
        ]
        table.add_row(name, *(interval([run[column] for run in runs]) for column in COLUMNS))
        console.print(name, [{k: round(v, 4) for k, v in run.items()} for run in runs])
    console.print(table)


if __name__ == "__main__":
    main()
