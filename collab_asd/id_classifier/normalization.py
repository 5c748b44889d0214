"""What keeps a network's activations in range: statistics of the batch, or of the window alone."""

from __future__ import annotations

from torch import nn

CHANNELS_PER_GROUP = 16


def group_normalized(network: nn.Module) -> nn.Module:
    """Put group normalisation in place of batch normalisation, everywhere in a network.

    Batch statistics of a client that holds one machine are that machine's own: normalising by them takes away what
    tells it from others. Group normalisation looks at one window at a time (Y. Wu and K. He, "Group normalization",
    ECCV 2018; K. Hsieh et al., "The non-IID data quagmire of decentralized machine learning", ICML 2020, section 5).
    """
    for name, layer in network.named_children():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(network, name, nn.GroupNorm(max(1, layer.num_features // CHANNELS_PER_GROUP), layer.num_features))
        else:
            group_normalized(layer)
    return network
