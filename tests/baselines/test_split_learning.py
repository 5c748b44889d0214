"""Split learning: what it computes is what unsplit training computes, and nothing else leaves a client."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Message, RecordDict
from numpy.testing import assert_array_equal

from baselines.client_training.client import training_clips
from baselines.client_training.rounds import settings_of, start_model
from baselines.client_training.strategy import Group, class_clips
from baselines.split_learning import client as split_client
from baselines.split_learning.algorithm import STAGE_STATE, ServerHalf, averaged
from baselines.split_learning.strategy import SplitLearning
from collab_asd.classifier.model import ClassifierSettings, to_arrays
from collab_asd.classifier.sampling import WindowSampler, input_statistics
from collab_asd.classifier.training import (
    Labels,
    build_head,
    build_optimizer,
    draw_epoch,
    fit,
    gather,
    labels_of,
    mixed_loss,
)
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.seeding import derive
from collab_asd.core.types import Clip, Partition
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.engines import run_inprocess, run_ray
from collab_asd.federation.flwr_compat import TaskIdentity, set_message_id
from collab_asd.federation.grid import Rules, SupervisedGrid
from collab_asd.methods import build_method

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1  # without it there can be no message
SIZES = {"light": (6, 4, 2), "mobilefacenet": (16, 16, 4)}  # D, stack, hop


def settings(backbone="light"):
    dimension, stack, hop = SIZES[backbone]
    return ClassifierSettings(backbone, dimension, stack, hop, classes=3)


def frames(number, dimension=6):
    """Frames of a clip: class ``number % 3`` shows in their mean."""
    rng = np.random.default_rng(number)
    return (rng.normal(size=(24, dimension)) + 2 * np.eye(3, dimension)[number % 3]).astype(np.float32)


class Client(ClientData):
    """A client with random frames; its clips are called by numbers."""

    def frames(self, indices):
        return [frames(int(self.partition.clips[i].sha256), self.data_dir) for i in indices]


def client(number, clips, dimension=6):
    held = tuple(Clip(Path(), "fan", str(i % 3), "train", None, str(i)) for i in clips)
    return Client(Partition(number, held, (0,) * len(held), tuple(i % 3 for i in clips)), None, None, dimension)


def fresh(backbone="light", head="naive"):
    clips = [frames(i, SIZES[backbone][0]) for i in range(18)]
    return start_model(settings(backbone), *input_statistics(clips, [0] * 18), head, seed=3)


class Clients:
    """A grid that hands messages to clients in this process and keeps what they answer."""

    def __init__(self, clients, config, forget=False, lose=False):
        self.clients, self.config, self.forget, self.lose = clients, config, forget, lose
        self.states = [RecordDict() for _ in clients]
        self.replies = []

    def send_and_receive(self, messages, timeout):
        return [self.answer(message) for message in messages]

    def answer(self, message):
        number = message.metadata.dst_node_id - 1000
        for _ in range(1 + self.lose):  # a reply that is lost is asked for again
            if self.forget:  # as if another process answered each message
                self.clients[number] = replace(self.clients[number])
            content = split_client.train(self.clients[number], self.config, self.states[number], message.content)
        self.replies.append(content)
        set_message_id(message, str(len(self.replies)))
        return Message(content, reply_to=message)


def trained(config, clients, start=None, **faults):
    """The model that split learning ends with, and the grid that it ran on."""
    clients_grid = Clients(list(clients), config, **faults)
    grid = SupervisedGrid(clients_grid, {k: 1000 + k for k in range(len(clients))}, Rules(60))
    used = {k: training_clips(c, 0) for k, c in enumerate(clients)}
    held = {k: Counter(own.classes) for k, own in used.items()}
    clips = {k: len(own.classes) for k, own in used.items()}
    frames = {k: sum(map(len, own.clips)) for k, own in used.items()}
    owners = {k: sorted(own) for k, own in held.items()}
    group = Group(0, owners, class_clips(held, 3), start or fresh(), clips, frames)
    return SplitLearning(config).train(group, grid), clients_grid


def unsplit(config, clients, start):
    """Train the whole network on the clients' batches, one client after the other, with one optimizer."""
    rounds = settings_of(config)
    head = build_head(start.directions, rounds.training)
    optimizer = build_optimizer([*start.parameters(), *head.parameters()], rounds.training)
    start.train()
    for server_round in range(1, rounds.rounds + 1):
        for number, one in enumerate(clients):
            order = [i for machine in one.machines() for i in machine.train]
            classes = [one.partition.classes[i] for i in order]
            sampler = WindowSampler(one.frames(order), classes, start.settings.stack, start.settings.stack_hop)
            random = np.random.default_rng(derive(config.seed, "federated", 0, number, server_round))
            for draw in draw_epoch(sampler, rounds.training, random):
                optimizer.zero_grad()
                embeddings = start(gather(sampler, draw, start))
                mixed_loss(head, embeddings, labels_of(sampler, draw)).backward()
                optimizer.step()
    with torch.no_grad():
        start.directions.copy_(head.W)
    return start


def assert_same(model, expected):
    for name, array in to_arrays(expected).items():
        assert_array_equal(to_arrays(model)[name], array, err_msg=name)


CONFIG = RunConfig(method="split-learning", encoder="logmel", seed=5, rounds=1)


@pytest.mark.parametrize("method", ["split-learning", "splitfed"])
@pytest.mark.parametrize(("preset", "backbone"), [("fast", "light"), ("paper", "mobilefacenet")])
@pytest.mark.parametrize("head", ["naive", "anchors"])
def test_one_client_of_several_machines_is_unsplit_training(method, preset, backbone, head):
    config = replace(CONFIG, method=method, preset=preset, class_head=head)
    one = client(0, range(36), SIZES[backbone][0])
    model, grid = trained(config, [one], fresh(backbone, head))
    alone = fresh(backbone, head)
    order = [i for machine in one.machines() for i in machine.train]
    classes = [one.partition.classes[i] for i in order]
    fit(alone, one.frames(order), classes, settings_of(config).training, derive(5, "federated", 0, 0, 1))
    assert len(grid.replies) > 2
    assert not np.array_equal(to_arrays(alone)["directions"], to_arrays(fresh(backbone, head))["directions"]) or (
        head == "anchors"
    )
    assert_same(model, alone)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("forget", [False, True])
def test_client_after_client_is_one_training_over_all_their_batches(forget, optimizer):
    config = replace(CONFIG, rounds=2, optimizer=optimizer)
    clients = [client(0, range(0, 18, 3)), client(1, range(1, 18, 3)), client(2, range(2, 18, 3))]
    model, _ = trained(config, clients, forget=forget)
    assert_same(model, unsplit(config, clients, fresh()))


@pytest.mark.parametrize("faults", [{"forget": True}, {"lose": True}, {"forget": True, "lose": True}])
@pytest.mark.parametrize("batches", ["apart", "joined"])
def test_another_process_may_go_on_and_a_message_may_come_again(batches, faults):
    """The first client has nine batches a turn, so that its context has checkpoints, and gradients since."""
    config = replace(CONFIG, method="splitfed", rounds=2, server_batches=batches)

    def clients():
        return [client(0, range(18)), client(1, [1, 4, 2, 5, 8])]

    assert_same(trained(config, clients(), **faults)[0], trained(config, clients())[0])


def test_joined_batches_are_one_batch():
    model, other = fresh().train(), fresh().train()
    x, labels = torch.randn(10, 1, 4, 6), torch.arange(10) % 3
    training = settings_of(CONFIG).training
    sent = model.backbone.first(x)
    whole = mixed_loss(build_head(model.directions, training), model.backbone.rest(sent), Labels(labels, labels, 1.0))
    (expected,) = torch.autograd.grad(whole, sent)
    parts, own = [sent[:7].detach(), sent[7:].detach()], [labels[:7], labels[7:]]
    first, second = ServerHalf(other, training).step(parts, [Labels(part, part, 1.0) for part in own])
    np.testing.assert_allclose(torch.cat([first, second]), expected, atol=1e-7)


def test_stages_are_averaged_by_weight():
    one = {"weight": np.array([1.0, 2.0], np.float32), "count": np.array(4)}
    other = {"weight": np.array([5.0, 2.0], np.float32), "count": np.array(8)}
    middle = averaged([one, other], [30, 10])
    assert_array_equal(middle["weight"], np.array([2.0, 2.0], np.float32))
    assert (int(middle["count"]), middle["count"].dtype) == (5, np.int64)


def test_parallel_clients_of_different_sizes_all_finish():
    config = replace(CONFIG, method="splitfed", preset="paper")
    model, grid = trained(config, [client(0, range(0, 180, 3)), client(1, range(1, 10, 3))])
    steps = [sum("activations" in r for r in grid.replies), sum(STAGE_STATE in r for r in grid.replies)]
    assert steps[0] > 2
    assert steps[1] == 2
    assert all(np.isfinite(array).all() for array in to_arrays(model).values())


def test_a_step_sends_activations_and_classes_and_nothing_else():
    _, grid = trained(CONFIG, [client(0, range(18))])
    *steps, last = grid.replies
    assert {name for reply in steps for name in reply} == {"activations"}
    assert set(steps[0]["activations"]) == {"activations", "own", "partners", "share"}
    assert steps[0]["activations"]["activations"].shape[1:] == (512,)
    assert set(last) == {STAGE_STATE, "metrics"}


@pytest.mark.parametrize("method", ["split-learning", "splitfed"])
def test_what_cannot_be_split_is_refused_before_any_work(method):
    with pytest.raises(InputError, match="'logmel' or 'random-conv', not of 'yamnet'"):
        build_method(RunConfig(method=method, encoder="yamnet"))
    with pytest.raises(InputError, match="choose naive or anchors"):
        build_method(RunConfig(method=method, encoder="logmel", class_head="fedaws"))


def test_clients_that_hold_the_same_machines_draw_their_share_of_the_windows():
    """Half of 3 x 100 windows in batches of 32 are 4 steps; a turn is one message more."""
    config = RunConfig(method="split-learning", encoder="logmel", rounds=21, seed=5)
    halves = [client(0, range(9)), client(1, range(9, 18))]
    _, grid = trained(config, halves)
    assert len(grid.replies) == 21 * 2 * (4 + 1)


@pytest.fixture
def config(machines, cache, tmp_path):
    return RunConfig(
        method="splitfed", data_dir=str(machines), cache_dir=str(cache), results_dir=str(tmp_path / "run"),
        encoder="logmel", rounds=2, report=False,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["split-learning", "splitfed"])
def test_a_run_gives_a_result_folder(config, method):
    folder = run_inprocess(replace(config, method=method), 3)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["method"], len(summary["machines"])) == (method, 3)
    assert summary["auc"]["total"] > 0.9  # the whistle is plain to hear for the client's own space
    assert summary["encoder_note"] == "logmel; its frames did not leave the clients"
    # Two rounds of 1,050 windows, 512 numbers each, and a baton with its moments.
    sent = 2 * (1050 * 512 + 3 * (128 * 512 + 2 * 512)) * 4
    assert min(summary["bytes_up"].values()) == pytest.approx(sent, rel=0.02)
    assert len(list((folder / "detectors").iterdir())) == 3


@pytest.mark.slow
def test_ray_gives_what_runs_in_process(config, tmp_path):
    config = replace(config, rounds=42)  # batches of 50 windows: one step a turn
    ray = run_ray(replace(config, results_dir=str(tmp_path / "ray")), 3, lambda line: None)
    inprocess = run_inprocess(config, 3)
    assert (ray / "scores.csv").read_bytes() == (inprocess / "scores.csv").read_bytes()
