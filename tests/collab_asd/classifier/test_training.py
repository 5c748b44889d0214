import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss

from baselines.client_training.rounds import settings_of
from collab_asd.classifier import training
from collab_asd.classifier.model import ClassifierSettings, IdClassifier, to_arrays
from collab_asd.classifier.sampling import WindowSampler
from collab_asd.classifier.settings import PRESETS, training_of
from collab_asd.classifier.training import (
    build_head,
    build_optimizer,
    draw_epoch,
    fit,
    gather,
    labels_of,
    mixed_loss,
    new_classifier,
    one_cycle,
    train,
)
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError

STACKING = {"stack": 4, "stack_hop": 2}
QUICK = replace(PRESETS["fast"], epochs=3, batch=8, windows_per_class=40)


def clips(machine: int, count: int, seed: int) -> list[np.ndarray]:
    """Noise in 6 dimensions; machine 1 is two standard deviations higher in the first three."""
    shift = 2.0 * machine * np.array([1, 1, 1, 0, 0, 0])
    noise = np.random.default_rng([seed, machine]).standard_normal((count, 12, 6))
    return list((noise + shift).astype(np.float32))


def two_machines(seed: int, count: int = 10) -> tuple[list[np.ndarray], list[int]]:
    return clips(0, count, seed) + clips(1, count, seed), [0] * count + [1] * count


def test_learns_machines_that_can_be_told_apart():
    model = train(*two_machines(seed=0), QUICK, seed=0, **STACKING)
    held_out, classes = two_machines(seed=1, count=30)
    assert [model.predict(model.embed(clip)) for clip in held_out] == classes


def test_the_papers_preset_trains_mobilefacenet():
    settings = replace(PRESETS["paper"], epochs=1)
    losses = {}
    model = train(*two_machines(seed=0), settings, seed=0, **STACKING, progress=losses.__setitem__)
    assert model.settings.backbone == "mobilefacenet"
    assert list(losses) == [1]
    assert (settings.learning_rate, settings.batch, PRESETS["paper"].epochs) == (1e-4, 32, 20)


def test_same_seed_same_weights_whatever_ran_before():
    first = to_arrays(train(*two_machines(seed=0), QUICK, seed=5, **STACKING))
    torch.rand(7)
    np.random.default_rng().standard_normal(3)
    second = to_arrays(train(*two_machines(seed=0), QUICK, seed=5, **STACKING))
    other = to_arrays(train(*two_machines(seed=0), QUICK, seed=6, **STACKING))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert not np.array_equal(first["directions"], other["directions"])


def test_the_number_of_threads_changes_nothing():
    threads, found = torch.get_num_threads(), []
    clips_of_both, classes = two_machines(seed=0, count=4)
    wide = [np.tile(clip, 40) for clip in clips_of_both]  # where sums are long enough to be divided
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            model = train(wide, classes, replace(QUICK, epochs=2), seed=5, **STACKING)
            found.append((to_arrays(model)["directions"], model.embed(wide[0])))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_leaves_the_callers_random_state_alone():
    before = torch.random.get_rng_state()
    train(*two_machines(seed=0, count=2), replace(QUICK, epochs=1), seed=0, **STACKING)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_rare_machine_is_learned_too():
    many, few = clips(0, 40, seed=0), clips(1, 2, seed=0)
    model = train(many + few, [0] * 40 + [1] * 2, QUICK, seed=0, **STACKING)
    assert [model.predict(model.embed(clip)) for clip in clips(1, 20, seed=3)] == [1] * 20


def test_clips_are_read_and_not_changed():
    frames, classes = two_machines(seed=0, count=2)
    before = [clip.copy() for clip in frames]
    for clip in frames:
        clip.flags.writeable = False  # as views of a message are
    train(frames, classes, replace(QUICK, epochs=1), seed=0, **STACKING)
    assert all(np.array_equal(clip, kept) for clip, kept in zip(frames, before, strict=True))


def test_one_machine_is_not_enough():
    with pytest.raises(InputError, match="telling machines apart and got the normal clips of 1"):
        train(clips(0, 3, seed=0), [0, 0, 0], QUICK, seed=0, **STACKING)


def test_refuses_frames_that_are_not_finite():
    frames, classes = two_machines(seed=0, count=2)
    frames[1][0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        train(frames, classes, QUICK, seed=0, **STACKING)


def test_the_head_is_arcface():
    """Loss of an embedding at 60 degrees from its class and 90 from the other: -log softmax of s cos(theta + m)."""
    head = ArcFaceLoss(2, 2, margin=28.6, scale=16.0)
    head.W.data = torch.eye(2)
    embedding = torch.tensor([[0.0, 1.0], [0.5, np.sqrt(0.75)]], dtype=torch.float32)
    loss = head(embedding, torch.tensor([1, 0]))
    margin = np.radians(28.6)
    own = 16 * np.cos(np.array([0.0, np.pi / 3]) + margin)
    other = 16 * np.array([0.0, np.cos(np.pi / 6)])
    assert loss.item() == pytest.approx(np.mean(np.log1p(np.exp(other - own))), rel=1e-5)


@pytest.mark.parametrize("damage", [False, True], ids=["whole", "damaged"])
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(training, "SECONDS_AT_RISK", 0.0)
    path, epochs = tmp_path / "begun", []

    def stop_in_the_third(epoch: int, loss: float) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*two_machines(seed=0), QUICK, seed=5, **STACKING, progress=stop_in_the_third, checkpoint=path)
    if damage:
        path.write_bytes(path.read_bytes()[:1000])
    again = train(
        *two_machines(seed=0), QUICK, seed=5, **STACKING, progress=lambda e, _: epochs.append(e), checkpoint=path
    )
    assert epochs == ([1, 2, 3] if damage else [3])
    for name, array in to_arrays(train(*two_machines(seed=0), QUICK, seed=5, **STACKING)).items():
        np.testing.assert_array_equal(to_arrays(again)[name], array)


def test_the_head_is_arcface_with_margin_and_scale_of_the_settings():
    """One window, 60 degrees from its own direction and 90 from the other: the loss as ArcFace defines it."""
    directions = torch.zeros(128, 2)
    directions[0, 0] = directions[1, 1] = 1.0
    window = torch.zeros(1, 128)
    window[0, 0], window[0, 2] = np.cos(np.radians(60.0)), np.sin(np.radians(60.0))
    for settings, margin, scale in ((PRESETS["fast"], 28.6, 16.0), (PRESETS["paper"], 28.6, 64.0)):
        own, other = scale * np.cos(np.radians(60.0 + margin)), scale * np.cos(np.radians(90.0))
        loss = build_head(directions, settings)(window, torch.tensor([0])).detach()
        assert float(loss) == pytest.approx(np.log(1 + np.exp(other - own)), rel=1e-4)


def test_the_proximal_term_is_half_mu_times_the_squared_distance():
    """One batch per epoch: the second loss is of weights that one step has moved, in which the term was still 0."""
    plain = replace(QUICK, epochs=2, windows_per_class=8, batch=16, one_cycle=False, mixup=0.0)
    clips_of_both, classes = two_machines(seed=0)
    losses, start = {}, new_classifier(ClassifierSettings("light", 6, 4, 2, 2), np.zeros(6), np.ones(6), 0)

    def trained(epochs: int, mu: float) -> IdClassifier:
        model = copy.deepcopy(start)
        settings = replace(plain, epochs=epochs, proximal=mu)
        fit(model, clips_of_both, classes, settings, 0, lambda epoch, loss: losses.update({(mu, epoch): loss}))
        return model

    trained(2, 0.0), trained(2, 3.0)
    pairs = zip(trained(1, 0.0).parameters(), start.parameters(), strict=True)
    moved = sum(float((now - then).detach().square().sum()) for now, then in pairs)
    assert losses[3.0, 2] - losses[0.0, 2] == pytest.approx(3.0 / 2 * moved, rel=1e-3)


def test_plain_sgd_moves_weights_against_the_gradient_and_the_cycle_leaves_its_momentum_at_zero():
    """With a step of rate r, weights move by -r times the gradient; twice the rate, twice as far."""
    plain = replace(QUICK, epochs=1, windows_per_class=8, batch=16, one_cycle=False, mixup=0.0, optimizer="sgd")
    start = new_classifier(ClassifierSettings("light", 6, 4, 2, 2), np.zeros(6), np.ones(6), 0)

    def moved(rate: float) -> list[torch.Tensor]:
        model = copy.deepcopy(start)
        fit(model, *two_machines(seed=0), replace(plain, learning_rate=rate), 0)
        return [(now - then).detach() for now, then in zip(model.parameters(), start.parameters(), strict=True)]

    sampler = WindowSampler(*two_machines(seed=0), 4, 2)
    (draw,) = draw_epoch(sampler, plain, np.random.default_rng(0))
    model = copy.deepcopy(start).train()
    mixed_loss(
        build_head(model.directions, plain), model(gather(sampler, draw, model)), labels_of(sampler, draw)
    ).backward()
    for step, double, parameter in zip(moved(0.1), moved(0.2), model.parameters(), strict=True):
        torch.testing.assert_close(step, -0.1 * parameter.grad, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(double, 2 * step, rtol=1e-3, atol=1e-6)
    cycled = build_optimizer(model.parameters(), plain)
    one_cycle(cycled, plain, 10)
    assert cycled.param_groups[0]["momentum"] == 0


def test_a_run_that_names_no_learning_rate_has_that_of_its_optimizer():
    rates = [training_of(RunConfig(optimizer=optimizer)).learning_rate for optimizer in ("adamw", "sgd")]
    rounds = [settings_of(RunConfig(optimizer=optimizer)).training.learning_rate for optimizer in ("adamw", "sgd")]
    assert (rates, rounds) == ([5e-3, 0.1], [1e-3, 0.1])
    assert training_of(RunConfig(optimizer="sgd", learning_rate=0.2)).learning_rate == 0.2
