"""Which machine a recording's name tells."""

import json
from pathlib import Path

import pytest

from collab_asd.core.errors import InputError
from collab_asd.core.files import machine_folder_name
from collab_asd.detection.choice import CARD_FILE, choose, choose_all, find_detectors

ONE_TYPE = [("ToyCar", "01"), ("ToyCar", "02")]
TWO_TYPES = [("fan", "00"), ("pump", "00"), ("pump", "02")]


@pytest.fixture
def result(tmp_path):
    """Writes a result folder with the descriptions of some detectors."""

    def write(machines, root="run"):
        for machine_type, machine_id in machines:
            folder = tmp_path / root / "detectors" / machine_folder_name(machine_type, machine_id)
            folder.mkdir(parents=True)
            card = {"machine_type": machine_type, "machine_id": machine_id, "encoder": "logmel", "seed": 0}
            (folder / CARD_FILE).write_text(json.dumps({"format": 1, "card": card}))
        return tmp_path / root

    return write


def chosen(folder, recording):
    found = choose(find_detectors(folder), Path(recording))
    return found and (found.machine_type, found.machine_id)


@pytest.mark.parametrize(
    ("recording", "machine_id"),
    [
        ("normal_id_01_00000003.wav", "01"),
        ("new/anomaly_id_02_00000003.wav", "02"),
        ("id_02_3.flac", "02"),
        ("section_01_source_test_normal_0001.wav", "01"),
        ("ToyCar/test/normal_id_01_00000003.wav", "01"),
        ("ToyCar/id_02/abnormal/00000003.wav", "02"),
        ("ToyCar_id_02/monday.wav", "02"),
        ("id_01/normal_id_02_00000003.wav", "02"),  # the file is named later than its folder
        ("monday.wav", None),
        ("normal_id_03_00000003.wav", None),
        ("normal_id_1_00000003.wav", None),
        ("pump/test/normal_id_01_00000003.wav", None),  # a machine of another type
        ("grid_01_3.wav", None),
    ],
)
def test_the_name_tells_the_machine(result, recording, machine_id):
    assert chosen(result(ONE_TYPE), f"/data/{recording}") == (machine_id and ("ToyCar", machine_id))


@pytest.mark.parametrize(
    ("recording", "machine"),
    [
        ("pump/normal_id_00_00000003.wav", ("pump", "00")),
        ("fan/test/normal_id_00_00000003.wav", ("fan", "00")),
        ("pump/id_02/normal/3.wav", ("pump", "02")),
        ("normal_id_00_00000003.wav", None),
        ("new/normal_id_02_00000003.wav", None),  # a fan may have that ID, too
    ],
)
def test_of_several_types_the_folder_must_tell_which(result, recording, machine):
    assert chosen(result(TWO_TYPES), f"/data/{recording}") == machine


def test_the_only_detector_judges_whatever_it_is_given(result):
    assert chosen(result(ONE_TYPE[:1]), "/data/monday.wav") == ("ToyCar", "01")


def test_detectors_are_found_from_the_run_from_its_folder_and_one_by_one(result):
    run = result(ONE_TYPE)
    both = [detector.folder.name for detector in find_detectors(run)]
    assert both == [detector.folder.name for detector in find_detectors(run / "detectors")]
    assert [both[1]] == [detector.folder.name for detector in find_detectors(run / "detectors" / both[1])]


def test_two_clients_detectors_of_one_machine_are_not_told_apart(result):
    result(ONE_TYPE[:1], "run/detectors/client-0")
    run = result(ONE_TYPE[:1], "run/detectors/client-1").parents[1]
    for client in (0, 1):  # as a run on mixtures lays them out
        (run / "detectors" / f"client-{client}" / "detectors" / "ToyCar_id_01").rename(
            run / "detectors" / f"client-{client}" / "ToyCar_id_01"
        )
    assert len(find_detectors(run)) == 2
    assert chosen(run, "/data/normal_id_01_3.wav") is None


def test_what_no_detector_is_chosen_for_is_named_with_the_detectors_and_a_command(result, tmp_path):
    run = result(ONE_TYPE)
    with pytest.raises(InputError) as caught:
        choose_all(find_detectors(run), [Path("normal_id_01_3.wav"), Path("a monday.wav")], run)
    message = str(caught.value)
    assert "normal_id_01_3.wav" not in message
    assert f"`collab-asd score {run}/detectors/ToyCar_id_01 'a monday.wav'`" in message
    assert f"{run}/detectors/ToyCar_id_02" in message


def test_a_detector_that_is_not_there_is_told_those_of_similar_name(result, tmp_path):
    run = result(ONE_TYPE)
    with pytest.raises(InputError, match=r"did you mean .*ToyCar_id_01"):
        find_detectors(run / "detectors" / "ToyCar_id_1")
    with pytest.raises(InputError, match="nowhere: no detector there"):
        find_detectors(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1, "card": {}}', '{"format": 1, "card": 3}', "\0"])
def test_a_damaged_description_is_named(result, content):
    run = result(ONE_TYPE)
    (run / "detectors" / "ToyCar_id_02" / CARD_FILE).write_text(content)
    with pytest.raises(InputError, match=f"ToyCar_id_02/{CARD_FILE}: not a detector's description"):
        find_detectors(run)
