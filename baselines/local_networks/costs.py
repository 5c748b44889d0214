"""What a run of a local network will compute; it sends scores alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from baselines.local_networks.client import build_detector
from baselines.local_networks.detector import LocalDetector, NetworkSettings
from collab_asd.config import RunConfig
from collab_asd.methods.costs import WINDOWS, Costs, Holding, WindowCost, Work, scores_sent, window_cost, windows_of

if TYPE_CHECKING:
    from collab_asd.encoders import EncoderEntry


def describe_costs(config: RunConfig, entry: EncoderEntry, holdings: Sequence[Holding]) -> Costs:
    """Count the training of a network for each machine, and its scoring."""
    detector = build_detector(config)
    settings, budget = detector.settings, detector.settings.budget
    cost = network_cost(detector, entry.spec.dimension)
    macs, steps = 0.0, 0
    for holding in holdings:
        windows = windows_of(entry, holding.train, settings.stack, settings.hop)
        scored = (holding.calibration or holding.train) + holding.test
        size = min(budget.windows or windows, windows)
        macs += cost.training * budget.epochs * size
        macs += cost.scoring * windows_of(entry, scored, settings.stack, settings.hop)
        steps += budget.epochs * -(-size // budget.batch)
    return Costs(scores_sent(holdings), Work(client_macs=macs, client_steps=steps))


def network_cost(detector: LocalDetector[NetworkSettings], bands: int) -> WindowCost:
    """Cost of a window ``[stack, D]`` in a local network, with numbers: a flow asks for them while it is built."""
    with torch.random.fork_rng(devices=[]):
        network, windows = detector.build(bands), torch.randn(WINDOWS, detector.settings.stack, bands)
        return window_cost(network.loss, windows)
