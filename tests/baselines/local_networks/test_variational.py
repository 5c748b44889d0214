import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from baselines.local_networks.detector import Budget
from baselines.local_networks.variational import (
    DenseVariational,
    VaeNetwork,
    VariationalSettings,
    VidnnNetwork,
    kl_from_standard_normal,
)


def settings(stack):
    return VariationalSettings(stack, 1, Budget(1, 2, None, 1e-3), hidden=(32, 16), latent=3)


def test_kl_of_known_gaussians():
    mean = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]])
    log_variance = torch.tensor([[0.0, 0.0], [math.log(4.0), 0.0], [0.0, math.log(0.25)]])
    # 1/2 m^2 each; 1/2 (4 - 1 - log 4); 1/2 (1 + 1/4 - 1 + log 4)
    expected = [12.5, 0.5 * (3 - math.log(4)), 0.5 * (0.25 + math.log(4))]
    assert kl_from_standard_normal(mean, log_variance).tolist() == pytest.approx(expected)


def test_kl_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, generator=generator)
    reference = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_from_standard_normal(mean, log_variance), reference)


def test_negative_elbo_of_a_network_that_says_nothing():
    """All weights zero: q is N(0, 1), the KL is 0, the output is 0, and half the squared target remains."""
    network = DenseVariational(4, 2, (3,), 2)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    target = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    assert network.negative_elbo(torch.ones(2, 4), target).tolist() == [12.5, 0.5]


def test_vae_anomaly_is_the_mean_squared_error():
    network = VaeNetwork(4, settings(stack=2))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.tensor([[[1.0, 1.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0]]])
    assert network.anomaly(x).tolist() == [(4 * 1 + 4 * 9) / 8]


def test_vidnn_never_sees_the_frame_that_it_predicts():
    torch.manual_seed(0)
    network = VidnnNetwork(4, settings(stack=5))
    x = torch.randn(3, 5, 4)
    other_middle = x.clone()
    other_middle[:, 2] += 100.0
    assert torch.equal(network.predict(other_middle), network.predict(x))
    for neighbour in (0, 1, 3, 4):
        other = x.clone()
        other[:, neighbour] += 100.0
        assert not torch.equal(network.predict(other), network.predict(x))


def test_vidnn_anomaly_is_the_error_of_the_middle_frame_alone():
    network = VidnnNetwork(2, settings(stack=3))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.tensor([[[9.0, 9.0], [1.0, 3.0], [7.0, 7.0]]])
    assert network.anomaly(x).tolist() == [(1 + 9) / 2]
