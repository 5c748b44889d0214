"""Federated averaging: exact identities, buffers, class directions, and whole runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from numpy.testing import assert_array_equal

from baselines.client_training.rounds import frame_sums, pooled_statistics, settings_of, start_model
from baselines.client_training.strategy import Group, class_clips
from baselines.fedavg import client as fedavg_client
from baselines.fedavg.algorithm import spread_out, take_apart
from baselines.fedavg.strategy import STOCK, build_strategy
from collab_asd.classifier.model import ClassifierSettings, to_arrays
from collab_asd.classifier.sampling import input_statistics
from collab_asd.classifier.training import fit
from collab_asd.config import RunConfig
from collab_asd.core.seeding import derive
from collab_asd.core.types import Clip, Partition
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.flwr_compat import TaskIdentity
from collab_asd.federation.messages import from_record, to_record
from collab_asd.methods import METHODS

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1  # without it there can be no message
SETTINGS = ClassifierSettings("light", dimension=6, stack=4, stack_hop=2, classes=3)


def frames(number):
    """Frames of a clip: class ``number % 3`` shows in their mean."""
    rng = np.random.default_rng(number)
    return (rng.normal(size=(12, 6)) + 2 * np.eye(3, 6)[number % 3]).astype(np.float32)


class Client(ClientData):
    """A client that holds three machines, with random frames."""

    def frames(self, indices):
        return [frames(int(self.partition.clips[i].sha256)) for i in indices]


@pytest.fixture
def client():
    clips = tuple(Clip(Path(), "fan", str(i % 3), "train", None, str(i)) for i in range(18))
    partition = Partition(0, clips, (0,) * 18, tuple(i % 3 for i in range(18)))
    return Client(partition, None, None, Path())


def fresh(head="naive"):
    clips = [frames(i) for i in range(18)]
    return start_model(SETTINGS, *input_statistics(clips, [0] * 18), head, seed=3)


def request(model, server_round=1):
    trained, buffers = take_apart(model)
    content = RecordDict({"arrays": to_record(trained), "buffers": to_record(buffers)})
    content["settings"] = ConfigRecord(SETTINGS.to_plain())
    content["config"] = ConfigRecord({"group": 0, "server-round": server_round, "class-clips": [6, 6, 6]})
    return content


def group_of(clients, model=None):
    model, each = fresh() if model is None else model, range(clients)
    owners, clips, frames = {k: [0, 1, 2] for k in each}, dict.fromkeys(each, 18), dict.fromkeys(each, 18 * 12)
    return Group(0, owners, [6 * clients] * 3, model, clips, frames)


def answers(contents):
    """Messages from nodes 0, 1, ..., as replies to a server's."""
    return [
        Message(c, reply_to=Message(RecordDict(), dst_node_id=k, message_type="train")) for k, c in enumerate(contents)
    ]


def aggregated(name, replies, model=None, owners=None):
    """What a strategy makes of replies to a model."""
    strategy = build_strategy(name, group_of(len(replies), model), owners)
    if hasattr(strategy, "current_arrays"):
        strategy.current_arrays = from_record(strategy.start_arrays)
    arrays, _ = strategy.aggregate_train(1, answers(replies))
    return strategy.classifier(arrays)


@pytest.mark.parametrize("head", ["naive", "anchors", "fedaws"])
def test_one_client_and_one_round_is_local_training(client, head):
    config = RunConfig(class_head=head, seed=5)
    replies = [fedavg_client.train(client, config, RecordDict(), request(fresh(head)))]
    federated = aggregated("fedavg", replies, fresh(head))
    alone, indices = fresh(head), client.indices("train")
    order = [client.partition.classes[i] for m in client.machines() for i in m.train]
    clips = [f for m in client.machines() for f in client.frames(m.train)]
    assert len(indices) == len(clips)
    fit(alone, clips, order, settings_of(config).training, derive(5, "federated", 0, 0, 1))
    for name, array in take_apart(alone)[0].items():
        assert_array_equal(to_arrays(federated)[name], array, err_msg=name)
    for name, array in take_apart(alone)[1].items():
        assert_array_equal(to_arrays(federated)[name], array, err_msg=name)


@pytest.mark.parametrize("everywhere", [(6, 6, 6), (12, 12, 12), (6, 12, 24)])
def test_a_client_draws_its_share_of_the_windows(client, everywhere, monkeypatch):
    """However clips are spread, clients see as many windows in all. This one holds 6 clips of each of 3 classes."""
    seen = []
    monkeypatch.setattr(fedavg_client, "fit", lambda *args: (seen.append(args[3]), args[-1](1, 0.0)))
    content = request(fresh())
    content["config"]["class-clips"] = list(everywhere)
    fedavg_client.train(client, RunConfig(), RecordDict(), content)
    share = (6 / everywhere[0] + 6 / everywhere[1] + 6 / everywhere[2]) / 3
    assert seen[0].windows_per_class == round(100 * share)


@pytest.mark.parametrize(("rounds", "warned"), [(1050, False), (1051, True)])
def test_rounds_that_would_see_more_windows_are_warned_of(caplog, rounds, warned):
    """Of 2,100 windows of a class, 1,050 rounds have two each."""
    with caplog.at_level("WARNING"):
        settings_of(RunConfig(method="fedavg", rounds=rounds))
    assert (f"rounds = {rounds}" in caplog.text) == warned


def test_clips_of_a_class_are_counted_over_clients():
    assert class_clips({0: {0: 6, 2: 1}, 3: {2: 5}}, classes=3) == [6, 0, 6]


def reply(value, clips=10, directions=None):
    """A model all of whose numbers are one, or whose directions are others."""
    trained, buffers = ({n: np.full_like(a, value) for n, a in part.items()} for part in take_apart(fresh()))
    if directions is not None:
        trained["directions"] = directions
    content = RecordDict({"arrays": to_record(trained), "buffers": to_record(buffers)})
    content["metrics"] = MetricRecord({"num-examples": clips, "loss": 0.0})
    return content


def test_fedaws_takes_a_direction_that_clients_have_in_common_from_all_of_them():
    """Directions far apart stay where their owners put them: class 0 is of both, 1 of the first, 2 of the second."""
    first, second = np.zeros((2, 128, 3), np.float32)
    first[[0, 1, 2], [0, 1, 2]] = [1.0, 5.0, 9.0]
    second[[0, 1, 2], [0, 1, 2]] = [3.0, 9.0, 7.0]
    replies = [reply(0.0, 30, first), reply(0.0, 10, second)]
    directions = to_arrays(aggregated("fedavg", replies, owners={0: [0, 1], 1: [0, 2]}))["directions"]
    assert directions[[0, 1, 2], [0, 1, 2]].tolist() == [2.0, 5.0, 7.0]


def test_two_clients_are_averaged_by_their_number_of_clips():
    model = aggregated("fedavg", [reply(1.0, 30), reply(4.0, 10)])
    for name, array in to_arrays(model).items():
        if not name.endswith("num_batches_tracked"):
            assert array == pytest.approx(np.full_like(array, (30 * 1 + 10 * 4) / 40)), name


def test_clients_weigh_as_much_as_they_have_clips(client):
    """One with 18 clips and one with six of them."""
    p = client.partition
    few = Client(Partition(1, p.clips[:6], p.groups[:6], p.classes[:6]), None, None, Path())
    replies = [fedavg_client.train(c, RunConfig(), RecordDict(), request(fresh())) for c in (client, few)]
    of_many, of_few = (from_record(r.array_records["arrays"]) for r in replies)
    assert not np.allclose(of_many["directions"], of_few["directions"], rtol=1e-3)
    for name, array in take_apart(aggregated("fedavg", replies))[0].items():
        np.testing.assert_allclose(array, (18 * of_many[name] + 6 * of_few[name]) / 24, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi", "fedadagrad"])
def test_adaptive_servers_leave_buffers_to_plain_averaging(client, name):
    reply = fedavg_client.train(client, RunConfig(), RecordDict(), request(fresh()))
    expected = from_record(reply.array_records["buffers"])
    weights = from_record(reply.array_records["arrays"])
    model = to_arrays(aggregated(name, [reply]))
    for buffer, array in expected.items():
        assert_array_equal(model[buffer], array, err_msg=buffer)
    assert not np.array_equal(model["directions"], weights["directions"])  # weights do take the server's own step


@pytest.mark.parametrize("name", STOCK)
def test_every_stock_strategy_aggregates_our_replies(client, name):
    replies = [fedavg_client.train(client, RunConfig(seed=s), RecordDict(), request(fresh())) for s in range(3)]
    model = aggregated(name, replies)
    assert all(np.isfinite(array).all() for array in to_arrays(model).values())


def test_a_proximal_term_keeps_the_client_near_where_it_started(client):
    def moved(mu):
        content = request(fresh())
        content["config"]["proximal-mu"] = mu
        after = from_record(fedavg_client.train(client, RunConfig(), RecordDict(), content).array_records["arrays"])
        before = take_apart(fresh())[0]
        weights = [name for name in before if name != "directions"]
        return sum(float(((after[name] - before[name]) ** 2).sum()) for name in weights)

    assert moved(100.0) < 0.5 * moved(0.0)


def test_statistics_of_the_parts_are_those_of_the_whole():
    clips = [frames(i) for i in range(18)]
    mean, deviation = pooled_statistics([frame_sums(clips[:5]), frame_sums(clips[5:7]), frame_sums(clips[7:])])
    expected_mean, expected_deviation = input_statistics(clips, [0] * 18)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-6)
    np.testing.assert_allclose(deviation, expected_deviation, rtol=1e-6)


def test_anchors_are_orthogonal_and_stay_where_they_are(client):
    model = fresh("anchors")
    np.testing.assert_allclose(model.directions.T @ model.directions, np.eye(3), atol=1e-6)
    reply = fedavg_client.train(client, RunConfig(class_head="anchors"), RecordDict(), request(model))
    assert_array_equal(from_record(reply.array_records["arrays"])["directions"], model.directions.numpy())


def test_a_client_of_fedaws_moves_its_own_direction_only():
    clips = tuple(Clip(Path(), "fan", "1", "train", None, str(3 * i + 1)) for i in range(6))
    alone = Client(Partition(0, clips, (0,) * 6, (1,) * 6), None, None, Path())
    model = fresh("fedaws")
    reply = fedavg_client.train(alone, RunConfig(class_head="fedaws"), RecordDict(), request(model))
    after = from_record(reply.array_records["arrays"])["directions"].astype(np.float64)
    before = model.directions.numpy() / np.linalg.norm(model.directions.numpy(), axis=0)
    turned = np.linalg.norm(after - before * (after * before).sum(axis=0), axis=0)
    assert turned[[0, 2]] == pytest.approx([0.0, 0.0], abs=1e-5)  # weight decay shortens them, nothing turns them
    assert turned[1] > 1e-3


def test_spreading_out_parts_what_is_close_and_leaves_what_is_far():
    close = np.array([[1.0, 0.99], [0.0, 0.1]], np.float32)
    far = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)  # their distance is the root of 2, above the margin of 1

    def gap(directions):
        return np.linalg.norm(np.diff(directions / np.linalg.norm(directions, axis=0), axis=1))

    assert gap(spread_out(close)) > 2 * gap(close)
    assert_array_equal(spread_out(far), far)


@pytest.fixture
def config(machines, cache, tmp_path):
    return RunConfig(
        method="fedavg", data_dir=str(machines), cache_dir=str(cache), results_dir=str(tmp_path / "run"),
        encoder="logmel", rounds=2, report=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", STOCK)
def test_names_of_stock_strategies_are_methods(name):
    assert METHODS.find(name).shares == "weights"


def test_a_run_gives_a_result_folder(config):
    folder = run_inprocess(config, 3)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["method"], len(summary["machines"])) == ("fedavg", 3)
    assert summary["auc"]["total"] > 0.9  # the whistle is plain to hear for the client's own space
    model = start_model(ClassifierSettings("light", 128, 64, 8, 3), np.zeros(128), np.ones(128), "naive", 0)
    sent = 2 * sum(array.nbytes for array in to_arrays(model).values())
    assert min(summary["bytes_up"].values()) == pytest.approx(sent, rel=0.02)  # two rounds of weights, hardly more
    assert len(list((folder / "detectors").iterdir())) == 3
