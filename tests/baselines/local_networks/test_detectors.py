"""What holds for all three: they learn, they hear a whistle, they depend on their seed and on nothing else."""

import dataclasses

import numpy as np
import pytest
import torch

from baselines.local_networks.glow import Glow
from baselines.local_networks.variational import Vae, Vidnn
from collab_asd.core.errors import InputError

DETECTORS = {"vae": Vae, "vidnn": Vidnn, "glow": Glow}


@pytest.fixture(params=DETECTORS)
def fit(request, normals):
    """Trains the preset ``fast`` on few windows."""
    detector = DETECTORS[request.param]
    presets = detector.presets
    budget = dataclasses.replace(presets["fast"].budget, windows=400, batch=32, epochs=6)
    settings = dataclasses.replace(presets["fast"], budget=budget)
    return lambda seed: detector(settings).fit(normals, seed)


def test_training_lowers_the_loss_and_a_whistle_scores_higher(fit, tests):
    detector = fit(0)
    assert len(detector.losses) == 6
    assert detector.losses[-1] < 0.95 * detector.losses[0]
    normal, whistling = ([detector.score(frames) for frames in clips] for clips in tests)
    assert min(whistling) > max(normal)


def test_same_seed_same_score_other_seed_other(fit, tests):
    clip = tests[0][0]
    torch.manual_seed(1)
    first = fit(0).score(clip)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert fit(0).score(clip) == first
    assert torch.equal(torch.random.get_rng_state(), before)
    assert fit(1).score(clip) != first


def test_score_is_the_mean_over_windows(fit, tests):
    """A clip of one window scores as that window; a clip's score does not depend on what was scored before."""
    detector, clip = fit(0), tests[0][0]
    again = detector.score(clip)
    detector.score(tests[1][0])
    assert detector.score(clip) == again
    stack, hop = detector.settings.stack, detector.settings.hop
    starts = range(0, len(clip) - stack + 1, hop)
    assert np.mean([detector.score(clip[s : s + stack]) for s in starts]) == pytest.approx(again, rel=1e-5)


def test_frames_that_are_not_finite_are_refused(normals):
    broken = normals[0].copy()
    broken[3, 5] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        Vae(Vae.presets["fast"]).fit([broken], 0)


@pytest.mark.parametrize("name", DETECTORS)
def test_loudness_of_a_band_does_not_matter(name, normals, tests):
    """Frames are standardised by the client's own training frames: a gain per band changes nothing but rounding."""
    detector = DETECTORS[name]
    presets = detector.presets
    settings = dataclasses.replace(
        presets["fast"], budget=dataclasses.replace(presets["fast"].budget, windows=8)
    ).lasting(1)
    gain = np.linspace(-4, 4, 128, dtype=np.float32)
    plain = detector(settings).fit(normals, 0).score(tests[1][0])
    louder = detector(settings).fit([clip + gain for clip in normals], 0).score(tests[1][0] + gain)
    assert louder == pytest.approx(plain, rel=1e-3)


def test_published_sizes_of_the_dense_baseline():
    """640 inputs, four layers of 128 units each way and 8 numbers between them, 100 epochs of batches of 512."""
    network = Vae(Vae.presets["paper"]).build(128)
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim == 2]
    assert shapes == [(128, 640), *[(128, 128)] * 3, (8, 128), (8, 128), (128, 8), *[(128, 128)] * 3, (640, 128)]
    assert (Vae.presets["paper"].budget.epochs, Vae.presets["paper"].budget.batch) == (100, 512)
    assert Vae.presets["paper"].lasting(3).budget.epochs == 3
    assert Vae.presets["paper"].lasting(0) == Vae.presets["paper"]
