import numpy as np
import torch
from torch import nn

from baselines.local_networks.detector import Budget, WindowNetwork, Windows, train


def test_windows_of_two_clips_do_not_run_over_their_border():
    clips = [np.arange(4, dtype=np.float32)[:, None], 10 + np.arange(5, dtype=np.float32)[:, None]]
    windows = Windows(clips, stack=3, hop=2).all().squeeze(2)
    assert windows.tolist() == [[0, 1, 2], [10, 11, 12], [12, 13, 14]]


def test_short_clip_is_repeated_until_it_fills_a_window():
    windows = Windows([np.array([[1.0], [2.0]], np.float32)], stack=5, hop=1).all().squeeze(2)
    assert windows.tolist() == [[1, 2, 1, 2, 1]]


class Mean(WindowNetwork):
    """One number that learns the mean of what it sees, and writes down what that was."""

    def __init__(self):
        super().__init__()
        self.guess = nn.Parameter(torch.zeros(()))
        self.seen = []

    def loss(self, x):
        self.seen.append(x.flatten().tolist())
        return (x.flatten(1).mean(dim=1) - self.guess).square()

    def anomaly(self, x):
        return self.loss(x)


def test_training_sees_every_window_once_per_epoch():
    network = Mean()
    windows = Windows([np.arange(10, dtype=np.float32)[:, None]], stack=1, hop=1)
    train(network, windows, Budget(epochs=2, batch=4, windows=None, learning_rate=0.1), seed=0)
    assert [len(batch) for batch in network.seen] == [4, 3, 3] * 2
    epochs = [[x for batch in batches for x in batch] for batches in (network.seen[:3], network.seen[3:])]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]


def test_training_finds_the_mean():
    network = Mean()
    windows = Windows([np.full((20, 1), 3.0, np.float32)], stack=1, hop=1)
    losses = train(network, windows, Budget(200, 8, 8, 0.1, one_cycle=True), seed=0)
    assert losses[0] > 8  # it begins at (3 - 0)^2
    assert abs(float(network.guess.detach()) - 3.0) < 0.01
    assert not network.training
