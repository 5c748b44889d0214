"""What measurements of embedding sharing on arrays have in common: options, codec, training, AUC of each machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from auc_table import Loaded
from sklearn.metrics import roc_auc_score

from collab_asd.classifier.model import IdClassifier
from collab_asd.classifier.settings import PRESETS
from collab_asd.config import RunConfig
from collab_asd.core.types import MachineFrames
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.methods.embedding_sharing.algorithm import fit_detector, train_id_classifiers
from collab_asd.methods.embedding_sharing.covariances import others_of_machines
from collab_asd.wire.codecs import Codec, parse

Classifiers = Mapping[int, IdClassifier]


@dataclass(frozen=True)
class MachineAuc:
    """Of one machine: AUC by fusion, the others' covariances included, and by the shared space alone."""

    fusion: float
    shared: float


def options(about: str, encoders: str = "random-conv,logmel") -> argparse.ArgumentParser:
    """Return a parser of the options that all have; `about` is the script's docstring."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("data", help="recordings of machines of one type")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--encoders", default=encoders)
    parser.add_argument("--cache-dir", default="")
    return parser


def configs(args: argparse.Namespace, encoder: str, weights: str = "") -> list[RunConfig]:
    """Return what an encoder is measured with: a configuration for each seed."""
    chosen = {"data-dir": args.data, "encoder": encoder, "encoder-weights": weights, "cache-dir": args.cache_dir}
    return [RunConfig.from_mapping(chosen | {"seed": seed}) for seed in range(args.seeds)]


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


def train(
    sent: Sequence[MachineFrames], loaded: Loaded, config: RunConfig, start: Classifiers | None = None, epochs: int = 0
) -> dict[int, IdClassifier]:
    """Train f_s on what the server got; with `start` from there on."""
    preset = PRESETS[config.preset]
    training = replace(preset, epochs=epochs or preset.epochs)
    return train_id_classifiers(sent, training, loaded.stacking, config.seed, start=start)


def aucs(loaded: Loaded, classifiers: Classifiers, codec: Codec, config: RunConfig) -> list[MachineAuc]:
    """Build each machine's detector and score its test clips; in the order of the machines."""
    settings, found = DetectorSettings.of(config), list[MachineAuc]()
    frames_of_all = [frames for _, _, frames in loaded.machines]
    others = others_of_machines(frames_of_all) if config.share_covariances else [None] * len(frames_of_all)
    for (client, machine, frames), covariances in zip(loaded.machines, others, strict=True):
        detector = fit_detector(classifiers[frames.group], frames, settings, codec, covariances)
        clips = detector.embed_tests(frames)
        labels = [client.partition.clips[i].label for i in machine.test]
        scores = detector.scores(clips).test, detector.scores_by_space(clips)[0].test
        found.append(MachineAuc(*(float(roc_auc_score(labels, each)) for each in scores)))
    return found
