"""What a stronger f_s would bring: sub-centres, two branches, feature exchange, an ensemble; AUC against training time.

    python benchmarks/stronger_classifiers.py DATA [--seeds 5] [--encoders random-conv,logmel]

Each is trained as preset `fast` trains the light network: the same windows, steps and mixtures. AUC by the shared space
alone and by today's fusion, with the difference to ours over the same seeds.

- Sub-centres: each class has k directions, the nearest counts (J. Deng et al., "Sub-center ArcFace", ECCV 2020).
- Two branches: a second network of the same kind hears the standard deviation over a window's frames.
- Feature exchange: the two branches also come from two windows, whose classes are to be told (K. Wilkinghoff,
  "Self-supervised learning for anomalous sound detection", ICASSP 2024).
- Ensemble: three f_s with seeds of their own, side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import cast

import numpy as np
import torch
from auc_table import Loaded, interval, load
from pytorch_metric_learning.losses import SubCenterArcFaceLoss
from rich.console import Console
from rich.table import Table
from sharing import MachineAuc, aucs, configs, fit, options, through
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from collab_asd.classifier.backbones import EMBEDDING_SIZE, LightNet
from collab_asd.classifier.model import ClassifierSettings, IdClassifier
from collab_asd.classifier.sampling import WindowSampler, input_statistics
from collab_asd.classifier.settings import PRESETS
from collab_asd.classifier.training import build_optimizer, draw_epoch, gather, labels_of, new_classifier
from collab_asd.config import RunConfig
from collab_asd.core.runtime import one_thread, pin_threads
from collab_asd.core.seeding import derive
from collab_asd.core.types import FloatArray, MachineFrames
from collab_asd.methods.embedding_sharing.algorithm import by_group, in_order_of_content

TRAINING = PRESETS["fast"]


class _TwoBranches(nn.Module):
    """Mean over a window's frames into one network, standard deviation into another -> ``[B, 256]``."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.level, self.variation = LightNet(dimension), LightNet(dimension)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows ``[B, 1, stack, D]``."""
        variation = self.variation(windows.std(dim=2, keepdim=True, correction=0))
        return torch.cat([F.normalize(self.level(windows)), F.normalize(variation)], dim=1)


@dataclass(frozen=True)
class Variant:
    """One way to train f_s."""

    sub_centres: int = 1
    branches: bool = False
    exchange: bool = False
    members: int = 1


VARIANTS = {
    "ours": Variant(),
    "4 sub-centres": Variant(sub_centres=4),
    "16 sub-centres": Variant(sub_centres=16),
    "two branches": Variant(branches=True),
    "two branches, features exchanged": Variant(branches=True, exchange=True),
    "ensemble of three": Variant(members=3),
    "ensemble of three, all of it": Variant(16, True, True, 3),
}


class Ensemble:
    """Classifiers side by side, as a detector uses one."""

    def __init__(self, members: Sequence[IdClassifier]) -> None:
        self.members, self.settings = members, members[0].settings

    def embed(self, frames: FloatArray) -> FloatArray:
        """Embed one clip ``[T, D]`` -> ``[w, members x d]``, of length 1."""
        joined: FloatArray = np.concatenate([each.embed(frames) for each in self.members], axis=1)
        return joined / np.float32(len(self.members) ** 0.5)

    def predict(self, embedding: FloatArray) -> int:
        """Say nothing of the class: no AUC needs it."""
        return 0


def train_one(
    machines: Sequence[MachineFrames], variant: Variant, stacking: tuple[int, int], seed: int
) -> IdClassifier:
    """Train f_s of one group, as `collab_asd.classifier.training.train` does but for the variant."""
    clips = [clip for machine in machines for clip in machine.normal]
    classes = [index for index, machine in enumerate(machines) for _ in machine.normal]
    statistics = input_statistics(clips, classes)
    settings = ClassifierSettings("light", len(statistics[0]), *stacking, len(machines))
    model = new_classifier(settings, *statistics, seed)
    sampler = WindowSampler(clips, classes, *stacking)
    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(seed)
        random, size = np.random.default_rng(seed), EMBEDDING_SIZE
        if variant.branches:
            model.backbone, size = _TwoBranches(len(statistics[0])), 2 * EMBEDDING_SIZE
        heads = nn.ModuleList(_head(count, size, variant) for count in (len(machines), 2 * len(machines)))
        optimizer = build_optimizer([*model.parameters(), *heads.parameters()], TRAINING)
        draws = [draw_epoch(sampler, TRAINING, random) for _ in range(TRAINING.epochs)]
        schedule = OneCycleLR(optimizer, TRAINING.learning_rate, total_steps=sum(map(len, draws)))
        model.train()
        for draw in (draw for epoch in draws for draw in epoch):
            optimizer.zero_grad()
            labels, embedded = labels_of(sampler, draw), model(gather(sampler, draw, model))
            loss = labels.share * heads[0](embedded, labels.own) + (1 - labels.share) * heads[0](
                embedded, labels.partners
            )
            if variant.exchange:
                order = torch.randperm(len(embedded))
                level, variation = embedded.chunk(2, dim=1)
                mixed = torch.cat([level, variation[order]], dim=1)
                other = len(machines) + labels.own[order]
                loss = loss + (heads[1](mixed, labels.own) + heads[1](mixed, other)) / 2
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _head(classes: int, size: int, variant: Variant) -> SubCenterArcFaceLoss:
    return SubCenterArcFaceLoss(
        num_classes=classes,
        embedding_size=size,
        margin=TRAINING.margin,
        scale=TRAINING.scale,
        sub_centers=variant.sub_centres,
    )


def measure(loaded: Loaded, config: RunConfig, variant: Variant) -> tuple[list[MachineAuc], float]:
    """Each machine's AUC, and seconds of training."""
    machines = [frames for _, _, frames in loaded.machines]
    codec, _ = fit(config.codec, machines)
    begun, classifiers = time.process_time(), dict[int, IdClassifier]()
    for group, members in by_group([in_order_of_content(through(codec, machine)) for machine in machines]).items():
        seeds = [derive(config.seed, "id-classifier", group, member) for member in range(variant.members)]
        ensemble = Ensemble([train_one(members, variant, loaded.stacking, seed) for seed in seeds])
        classifiers[group] = cast(IdClassifier, ensemble)
    seconds = time.process_time() - begun
    return aucs(loaded, classifiers, codec, config), seconds


def main() -> None:
    """Print the table."""
    args = options(__doc__).parse_args()
    pin_threads(RunConfig.threads)
    for encoder in args.encoders.split(","):
        title = f"{encoder}, {args.seeds} seeds, 95 % interval over seeds"
        table = Table("f_s", "shared", "- ours", "fusion", "- ours", "training, CPU s", title=title)
        scores: dict[str, Callable[[MachineAuc], float]] = {"shared": lambda a: a.shared, "fusion": lambda a: a.fusion}
        ours: dict[str, list[float]] = {}
        for name, variant in VARIANTS.items():
            found, seconds = [], []
            for config in configs(args, encoder):
                machines, spent = measure(load(config), config, variant)
                found.append(machines)
                seconds.append(spent)
            values = {key: [mean(map(of, machines)) for machines in found] for key, of in scores.items()}
            ours = ours or values
            cells = [
                interval(column)
                for key, own in values.items()
                for column in (own, [a - b for a, b in zip(own, ours[key], strict=True)])
            ]
            table.add_row(name, *cells, f"{mean(seconds):.1f}")
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
