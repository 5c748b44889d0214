"""Mean AUC over machines against bytes per clip: codecs x encoders x seeds, paired with fp32.

    python benchmarks/codecs.py DATA [--seeds 5] [--encoders random-conv,logmel] [--codecs fp32,int8,pool:8+pca:32+int8]

Bytes are those of a training clip, with its share of what clients and server exchange once to fit the codec. The raw
recording is what 16-bit samples weigh.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import soundfile
from auc_table import Loaded, interval, load
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from collab_asd.codecs import Codec, parse
from collab_asd.config import RunConfig
from collab_asd.embedding_sharing.algorithm import fit_detector, train_id_classifiers
from collab_asd.id_classifier.settings import PRESETS
from collab_asd.interfaces import MachineFrames
from collab_asd.scorers import DetectorSettings
from collab_asd.threads import pin_threads

CODECS = (
    "fp32,fp16,int8,pool:4+int8,pool:8+int8,pca:64+int8,pool:4+pca:64+int8,pool:8+pca:64+int8,"
    "pool:4+pca:32+int8,pool:8+pca:32+int8,pool:8+pca:16+int8,pool:16+pca:32+int8"
)


@dataclass(frozen=True)
class Outcome:
    """Of one codec and seed: mean AUC over machines by fusion and by the shared space alone, and bytes per clip."""

    fusion: float
    shared: float
    clip_bytes: float


def measure(loaded: Loaded, config: RunConfig, text: str) -> Outcome:
    """Send all training clips through a codec, train f_s on what is left, and score."""
    machines = [frames for _, _, frames in loaded.machines]
    codec, once = fit(text, machines)
    sent = [through(codec, machine) for machine in machines]
    classifiers = train_id_classifiers(sent, PRESETS[config.preset], loaded.stacking, config.seed)
    settings, fusion, shared = DetectorSettings.of(config), [], []
    for client, local, frames in loaded.machines:
        detector = fit_detector(classifiers[frames.group], frames, settings, codec)
        embedded = [detector.embed(clip) for clip in frames.test]
        labels = [client.partition.clips[i].label for i in local.test]
        fusion.append(roc_auc_score(labels, detector.scores(embedded).test))
        shared.append(roc_auc_score(labels, detector.spaces[0].scores([clip[0] for clip in embedded]).test))
    clips = [clip for machine in machines for clip in machine.normal]
    sizes = [codec.clip_bytes(*clip.shape) for clip in clips]
    return Outcome(mean(fusion), mean(shared), mean(sizes) + once / len(clips))


def fit(text: str, machines: Sequence[MachineFrames]) -> tuple[Codec, int]:
    """Fit a codec as a server does; returns also the bytes that this takes, both ways, all clients together."""
    plan = parse(text)
    if not plan.learns:
        return plan.fit([]), 0
    parts = [plan.statistics(machine.normal) for machine in machines]
    codec = plan.fit(parts)
    up = sum(array.nbytes for part in parts for array in part.to_arrays().values())
    return codec, up + len(machines) * sum(array.nbytes for array in codec.to_arrays().values())


def through(codec: Codec, machine: MachineFrames) -> MachineFrames:
    """Return what the server gets of a machine's training clips."""
    return replace(machine, normal=[codec.round_trip(clip) for clip in machine.normal])


def raw_bytes(loaded: Loaded) -> float:
    """Mean size of a recording, one channel of 16-bit samples."""
    return mean(2 * soundfile.info(c.path).frames for client, _, _ in loaded.machines for c in client.partition.clips)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--encoders", default="random-conv,logmel,yamnet")
    parser.add_argument("--codecs", default=CODECS)
    parser.add_argument("--weights", default="", help="of yamnet")
    parser.add_argument("--cache-dir", default="")
    args = parser.parse_args()
    pin_threads(RunConfig.threads)
    console = Console(width=140)
    columns = ("bytes per clip", "of raw audio", "fusion", "minus fp32", "shared k-NN", "minus fp32")
    for name in args.encoders.split(","):
        table = Table("codec", *columns, title=f"{name}: mean AUC over machines, {args.seeds} seeds")
        chosen = {"data-dir": args.data, "encoder": name, "cache-dir": args.cache_dir}
        configs = [
            RunConfig.from_mapping(chosen | {"encoder-weights": args.weights * (name == "yamnet"), "seed": seed})
            for seed in range(args.seeds)
        ]
        runs = [(load(config), config) for config in configs]
        plain = [measure(loaded, config, "fp32") for loaded, config in runs]
        for text in args.codecs.split(","):
            found = plain if text == "fp32" else [measure(loaded, config, text) for loaded, config in runs]
            size = mean(outcome.clip_bytes for outcome in found)
            table.add_row(text, f"{size:,.0f}", f"{size / raw_bytes(runs[0][0]):.2%}", *compared(found, plain))
            console.print(name, text, f"{size:.0f}", *compared(found, plain))
        console.print(table)


def compared(found: Sequence[Outcome], plain: Sequence[Outcome]) -> list[str]:
    """Mean and interval of each measure, and of its difference to fp32, seed by seed."""
    cells = []
    for measure_ in ("fusion", "shared"):
        values = np.array([getattr(outcome, measure_) for outcome in found])
        cells += [interval(values), interval(values - [getattr(outcome, measure_) for outcome in plain])]
    return cells


if __name__ == "__main__":
    main()
