"""The flow is a density: invertible, with the log-determinant of its Jacobian, and its Gaussian in front."""

import math

import pytest
import torch

from baselines.local_networks.detector import Budget
from baselines.local_networks.glow import Glow, GlowNetwork, GlowSettings

BANDS, STACK = 8, 4
BUDGET = Budget(1, 4, None, 1e-3)
SETTINGS = {
    "image": GlowSettings(STACK, 1, BUDGET, "image", levels=2, blocks=2, hidden=5),
    "bands": GlowSettings(STACK, 1, BUDGET, "bands as channels", levels=1, blocks=2, hidden=5),
}


@pytest.fixture(params=SETTINGS)
def network(request):
    """A flow in double precision whose couplings and scales are not those of the start, which do nothing."""
    torch.manual_seed(0)
    network = GlowNetwork(BANDS, SETTINGS[request.param]).double()
    network.loss(torch.randn(16, STACK, BANDS, dtype=torch.float64))  # the first batch sets the scales
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def windows(count):
    return torch.randn(count, STACK, BANDS, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def test_forward_undoes_inverse(network):
    x = network.patches(windows(3))
    latent, there = network.flow.inverse_and_log_det(x)
    restored, back = network.flow.forward_and_log_det(latent)
    torch.testing.assert_close(restored, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(back, -there, rtol=0, atol=1e-9)


def test_log_determinant_is_that_of_the_jacobian(network):
    def flat_latent(flat):
        latent, _ = network.flow.inverse_and_log_det(network.patches(flat.view(1, STACK, BANDS)))
        return torch.cat([z.flatten() for z in latent])

    x = windows(1)
    jacobian = torch.autograd.functional.jacobian(flat_latent, x.flatten())
    _, log_det = network.flow.inverse_and_log_det(network.patches(x))
    assert jacobian.shape == (STACK * BANDS, STACK * BANDS)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian).logabsdet, rtol=0, atol=1e-9)


def test_log_likelihood_is_the_gaussian_plus_the_log_determinant(network):
    x = windows(3)
    latent, log_det = network.flow.inverse_and_log_det(network.patches(x))
    expected = log_det + sum(base.log_prob(z) for base, z in zip(network.flow.q0, latent, strict=True))
    torch.testing.assert_close(network.log_likelihood(x), expected)
    torch.testing.assert_close(network.loss(x), -expected / (STACK * BANDS))


@pytest.mark.parametrize("layout", SETTINGS)
def test_density_integrates_to_one(layout):
    """Importance sampling: the mean of p(x) / q(x) over x from a wider Gaussian q is the integral of p."""
    torch.manual_seed(1)
    bands, stack = (2, 2) if layout == "image" else (2, 1)
    settings = GlowSettings(stack, 1, BUDGET, SETTINGS[layout].layout, levels=1, blocks=1, hidden=3)
    network = GlowNetwork(bands, settings).double()
    network.loss(torch.randn(256, stack, bands, dtype=torch.float64))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        q = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.6)
        x = q.sample((200_000, stack, bands))
        ratio = (network.log_likelihood(x) - q.log_prob(x).sum(dim=(1, 2))).exp()
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.03)


def test_untouched_flow_of_standard_noise_costs_the_entropy_of_a_gaussian():
    """Before training the flow only turns and scales: N(0, 1) stays that, 1/2 log(2 pi e) nats per number."""
    torch.manual_seed(0)
    network = GlowNetwork(BANDS, SETTINGS["bands"])
    with torch.no_grad():
        cost = network.loss(torch.randn(4000, STACK, BANDS)).mean()
    assert float(cost) == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=0.01)


def test_published_sizes():
    paper = Glow.presets["paper"]
    assert (paper.levels, paper.blocks, paper.hidden) == (3, 32, 512)
    small = GlowNetwork(128, GlowSettings(32, 8, BUDGET, "image", levels=3, blocks=1, hidden=4))
    latent, _ = small.flow.inverse_and_log_det(small.patches(torch.randn(2, 32, 128)))
    # From coarse to fine: 16 channels of 16 x 4, then half of 8 and of 4 channels.
    assert [tuple(z.shape[1:]) for z in latent] == [(16, 16, 4), (4, 32, 8), (2, 64, 16)]
