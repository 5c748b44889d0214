"""AUC where each machine has another microphone, level, noise floor and neighbour: mean over draws, 95 % interval.

    python benchmarks/rooms.py [DATA] [--machines 6] [--draws 10] [--encoders logmel,random-conv] [--out rooms.jsonl]
        [--conditions "" response-3 noise-10 response-3+gain-6+noise-10+interference-10]

Calls the algorithms on arrays, so that a recording is read once for all encoders and methods; what needs rounds of
messages, such as fedavg, is measured by ``collab-asd compare rooms``, with the same draws and scores. Draws that stand
in the file of ``--out`` are not repeated. Without DATA there are synthetic machines.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from collab_asd import encoders
from collab_asd.classifier.settings import PRESETS
from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads
from collab_asd.core.types import Clip, Encoder, EncoderSpec, FloatArray, MachineFrames, ScoreArray
from collab_asd.data.audio import load_waveform
from collab_asd.data.run_data import load_partitions
from collab_asd.detection.detector import Detector
from collab_asd.detection.scorers import OWN_SPECTRA, DetectorSettings, ScorerSettings
from collab_asd.detection.second_order import ClipSpectrum
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.client_data import ClientData
from collab_asd.methods.embedding_sharing.algorithm import (
    fit_detector,
    fit_local_detector,
    own_spaces,
    train_id_classifiers,
)
from collab_asd.methods.embedding_sharing.covariances import others_of_machines
from collab_asd.wire.codecs import parse

Machines = list[tuple[MachineFrames, list[int]]]
ALL = "response-3+gain-6+noise-10+interference-10"


class Memory(EmbeddingCache):
    """Frames in memory, for one draw."""

    def __init__(self) -> None:
        super().__init__(Path())
        self._frames: dict[tuple[str, str], FloatArray] = {}

    def load(self, spec: EncoderSpec, clip: Clip, *, mapped: bool = False) -> FloatArray | None:
        """See `EmbeddingCache`."""
        return self._frames.get((spec.digest, clip.sha256))

    def store(self, spec: EncoderSpec, clip: Clip, frames: FloatArray) -> None:
        """See `EmbeddingCache`."""
        self._frames[spec.digest, clip.sha256] = frames


def embedded(config: RunConfig, clients: int, names: list[str]) -> Iterator[tuple[Encoder, Machines]]:
    """Read each recording once; yield each encoder with the frames of all machines and the labels of their tests."""
    built = [encoders.build(replace(config, encoder=name)) for name in names]
    readers: list[Encoder] = [*built, ClipSpectrum()]
    partitions, memory = load_partitions(config, clients), Memory()
    for clip in (clip for partition in partitions for clip in partition.clips):
        waveform = load_waveform(clip, 16_000)
        for encoder in readers:
            memory.store(encoder.spec, clip, encoder(waveform))
    for encoder in built:
        machines: Machines = []
        for partition in partitions:
            client = ClientData(partition, encoder, memory, Path(), config.calibration)
            for held in client.machines():
                labels = [int(partition.clips[i].label or 0) for i in held.test]
                machines.append((client.machine_frames(held, with_spectra=True), labels))
        yield encoder, machines


def mean_auc(detectors: list[Detector], machines: Machines) -> float:
    """Mean AUC over machines."""
    return float(
        np.mean(
            [
                roc_auc_score(labels, detector.scores(detector.embed_tests(frames)).test)
                for detector, (frames, labels) in zip(detectors, machines, strict=True)
            ]
        )
    )


def measure(config: RunConfig, encoder: Encoder, machines: Machines) -> dict[str, float]:
    """Return the mean AUC of each method."""
    frames = [machine for machine, _ in machines]
    plan = parse(config.codec)
    codec = plan.fit([plan.statistics(machine.normal) for machine in frames])
    sent = [replace(m, normal=[codec.round_trip(clip) for clip in m.normal]) for m in frames]
    stacking = encoder.spec.stack, encoder.spec.stack_hop
    classifiers = train_id_classifiers(sent, PRESETS[config.preset], stacking, config.seed)
    others = others_of_machines(frames)
    settings = DetectorSettings.of(config)
    told = list(zip(frames, others, strict=True))
    detectors = {
        "embedding-sharing": [fit_detector(classifiers[m.group], m, settings, codec, o) for m, o in told],
        "covariance-sharing": [Detector(own_spaces(m, OWN_SPECTRA, o)) for m, o in told],
        "own spectra alone": [Detector(own_spaces(m, OWN_SPECTRA)) for m in frames],
        "local-mahalanobis": [fit_local_detector(m, ScorerSettings("mahalanobis")) for m in frames],
        "local-knn": [fit_local_detector(m, ScorerSettings("knn")) for m in frames],
    }
    detectors["shared space alone"] = [Detector((d.spaces[0],)) for d in detectors["embedding-sharing"]]
    return {name: mean_auc(of_machines, machines) for name, of_machines in detectors.items()}


def shown(values: ScoreArray, sign: str = "") -> str:
    """Return a mean with its 95 % interval over draws."""
    n = len(values)
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return f"{values.mean():{sign}.3f} ± {half:.3f}"


def main() -> None:
    """Measure what is not in the file yet, and print a row per conditions, encoder and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="")
    parser.add_argument("--machines", type=int, default=6)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--encoders", default="logmel,random-conv")
    parser.add_argument("--conditions", nargs="*", default=["", ALL])
    parser.add_argument("--out", type=Path, default=Path("rooms.jsonl"))
    parser.add_argument("--cache-dir", default="")
    args = parser.parse_args()
    pin_threads(1)
    lines = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    for draw in range(args.draws):
        for conditions in args.conditions:
            done = {line["encoder"] for line in lines if (line["draw"], line["conditions"]) == (draw, conditions)}
            names = [name for name in args.encoders.split(",") if name not in done]
            config = RunConfig(data_dir=args.data, seed=draw, recording_conditions=conditions, cache_dir=args.cache_dir)
            for encoder, machines in embedded(config, args.machines, names) if names else ():
                auc = measure(config, encoder, machines)
                lines.append({"draw": draw, "conditions": conditions, "encoder": encoder.spec.name, "auc": auc})
                with args.out.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    table = Table("conditions", "encoder", "method", "AUC", "default minus this", "lowest", "draws")
    for conditions, encoder in dict.fromkeys((line["conditions"], line["encoder"]) for line in lines):
        found = [line["auc"] for line in lines if (line["conditions"], line["encoder"]) == (conditions, encoder)]
        for method in found[0]:
            values = np.array([auc[method] for auc in found])
            gains = np.array([auc["embedding-sharing"] for auc in found]) - values
            place = conditions or "as recorded", encoder, method
            table.add_row(*place, shown(values), shown(gains, "+"), f"{values.min():.3f}", str(len(values)))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
