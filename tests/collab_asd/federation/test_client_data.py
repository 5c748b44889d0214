from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from collab_asd.core.types import Clip, Partition
from collab_asd.federation.client_data import ClientData, LocalMachine
from collab_asd.federation.policy import policy_of


def clip(machine_id, split):
    return Clip(Path("x.wav"), "fan", machine_id, split, None, "")


def test_a_client_may_hold_several_machines():
    clips = (clip("02", "test"), clip("00", "train"), clip("02", "train"), clip("00", "train"))
    client = ClientData(Partition(5, clips, groups=(1, 0, 1, 0), classes=(2, 0, 2, 0)), None, None, Path())
    assert client.machines() == [
        LocalMachine(group=0, machine_class=0, train=(1, 3), calibration=(), test=()),
        LocalMachine(group=1, machine_class=2, train=(2,), calibration=(), test=(0,)),
    ]


def test_node_config_gives_what_is_the_clients_own_and_nothing_else(tmp_path):
    key = tmp_path / "key"
    key.touch()
    run = {"encoder": "logmel", "seed": 3}
    node = {"client": 1, "clients": 2, "data-dir": str(tmp_path), "encoder-key-file": str(key), "seed": 9}
    context = Context(run_id=1, node_id=1, node_config=node, state=RecordDict(), run_config=run)
    config = policy_of(context).config
    assert (config.data_dir, config.encoder_key_file) == (str(tmp_path), str(key))
    assert (config.encoder, config.seed) == ("logmel", 3)


def test_a_node_changes_no_recording_of_its_own(tmp_path):
    run = {"recording-conditions": "gain-6", "encoder": "logmel"}
    node = {"client": 0, "clients": 2, "data-dir": str(tmp_path)}
    context = Context(run_id=1, node_id=1, node_config=node, state=RecordDict(), run_config=run)
    assert policy_of(context).config.recording_conditions == ""


def held(count, share):
    clips = tuple(clip("00", "train") for _ in range(count))
    return ClientData(Partition(0, clips, groups=(0,) * count, classes=(0,) * count), None, None, Path(), share)


def test_a_fifth_of_the_normal_clips_is_kept_from_f_s():
    client = held(75, 0.2)
    (machine,) = client.machines()
    assert (machine.calibration, machine.train) == (tuple(range(15)), tuple(range(15, 75)))
    assert machine.normal == (*range(15, 75), *range(15))
    assert client.indices("calibration") == list(range(15))


@pytest.mark.parametrize(("count", "share"), [(49, 0.2), (500, 0.0)])
def test_too_few_clips_for_calibration_are_all_trained_on(count, share):
    (machine,) = held(count, share).machines()
    assert (len(machine.train), machine.calibration) == (count, ())
