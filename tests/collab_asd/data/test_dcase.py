import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.layouts.dcase import matches, read


def test_names_tell_machine_split_and_label(tmp_path, record):
    record(tmp_path / "fan/train/normal_id_00_00000000.wav")
    record(tmp_path / "fan/test/anomaly_id_06_00000012.flac")
    record(tmp_path / "ToyCar/test/normal_id_01_00000003.ogg")
    record(tmp_path / "ToyCar/test/id_05_00000004.WAV")
    found = {(clip.machine, clip.split, clip.label) for clip in read(tmp_path, 0)}
    assert found == {
        ("fan/00", "train", 0),
        ("fan/06", "test", 1),
        ("ToyCar/01", "test", 0),
        ("ToyCar/05", "test", None),
    }


@pytest.mark.parametrize(
    "name", ["normal_id_00.wav", "norml_id_00_00000000.wav", "abnormal_id_00_1.wav", "section_00_source_1.wav"]
)
def test_malformed_name(tmp_path, record, name):
    record(tmp_path / "fan/train/normal_id_00_00000000.wav")
    record(tmp_path / "fan/train" / name)
    with pytest.raises(InputError, match=rf"fan/train/{name}: the name is not as in .*; rename it"):
        read(tmp_path, 0)


def test_many_malformed_names_are_counted(tmp_path, record):
    for number in range(8):
        record(tmp_path / f"fan/test/{number}.wav")
    with pytest.raises(InputError, match=r"test/4\.wav and 3 more: "):
        read(tmp_path, 0)


def test_half_finished_download(tmp_path, record):
    record(tmp_path / "fan/train/normal_id_00_00000000.wav")
    (tmp_path / "fan/train/normal_id_00_00000001.wav.part").touch()
    with pytest.raises(InputError, match=r"00000001\.wav\.part: not a recording"):
        read(tmp_path, 0)


@pytest.mark.parametrize("place", ["stray.wav", "pump/normal_id_00_00000000.wav"])
def test_recording_outside_train_and_test(dcase_folder, record, place):
    record(dcase_folder / place)
    with pytest.raises(InputError, match=f"{place}: in the wrong place"):
        read(dcase_folder, 0)


def test_does_not_match_other_layouts(tmp_path, record):
    record(tmp_path / "fan/id_00/normal/00000000.wav")
    assert not matches(tmp_path)
