import hashlib
from pathlib import Path

import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.layouts import clip_name, find_clips

HEADER = "path,machine_type,machine_id,split,label\n"


def test_each_layout_is_told_from_its_files(tmp_path, record):
    record(tmp_path / "a/fan/train/normal_id_00_00000000.wav")
    record(tmp_path / "b/fan/id_00/normal/00000000.wav")
    record(tmp_path / "c/x.wav")
    (tmp_path / "c/table.csv").write_text(HEADER + "x.wav,fan,00,train,0\n")
    for name in "abc":
        (clip,) = find_clips(tmp_path / name)
        assert (clip.machine, clip.split, clip.label, clip.channel) == ("fan/00", "train", 0, 0)
        assert clip.sha256 == hashlib.sha256(clip.path.read_bytes()).hexdigest()


SHELF = """
from collab_asd.core.types import Clip
DESCRIPTION = "a file shelf.txt"
def matches(data_dir):
    return (data_dir / "shelf.txt").exists()
def read(data_dir, channel):
    return [Clip(data_dir / "a.wav", "fan", "00", "train", 0, "0" * 64, channel)]
"""


def test_an_installed_package_adds_a_layout_and_a_broken_one_takes_none_away(dcase_folder, tmp_path, install):
    install("collab_asd.layouts", "shelf_layout", SHELF, {"shelf": "shelf_layout"})
    install("collab_asd.layouts", "broken_layout", "DESCRIPTION = 1 / 0", {"broken": "broken_layout"})
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "shelf.txt").touch()
    assert [clip.machine for clip in find_clips(tmp_path / "shelf")] == ["fan/00"]
    assert find_clips(dcase_folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"a file shelf\.txt.*'broken' of package broken_layout"):
        find_clips(tmp_path / "other")


def test_paths_are_absolute_and_names_relative(dcase_folder, monkeypatch):
    monkeypatch.chdir(dcase_folder / "fan")
    clips = find_clips(dcase_folder.parent / "data/../data")
    assert clips[0].path == dcase_folder / "fan/test/anomaly_id_00_00000000.wav"
    assert clip_name(clips[0], dcase_folder) == "fan/test/anomaly_id_00_00000000.wav"
    (relative, *_) = find_clips(Path(".."))
    assert relative == clips[0]


def test_folder_of_one_machine_type(dcase_folder):
    clips = find_clips(dcase_folder / "fan")
    assert clips == find_clips(dcase_folder)
    assert clip_name(clips[0], dcase_folder / "fan") == "test/anomaly_id_00_00000000.wav"


def test_channel_is_kept(dcase_folder):
    assert {clip.channel for clip in find_clips(dcase_folder, channel=3)} == {3}
    with pytest.raises(InputError, match="channel -1: channels are counted from 0"):
        find_clips(dcase_folder, channel=-1)


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder; name the folder"):
        find_clips(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="the folder is empty"):
        find_clips(tmp_path)


def test_layout_without_recordings(tmp_path):
    (tmp_path / "fan/train").mkdir(parents=True)
    with pytest.raises(InputError, match="no recordings in it"):
        find_clips(tmp_path)


def test_folder_of_no_layout_says_what_it_holds_and_what_layouts_there_are(tmp_path, record):
    record(tmp_path / "a/b/c/d/e/x.wav")
    with pytest.raises(InputError, match=r"found a, of no known layout; known are DCASE: .*; MIMII: .*; CSV: "):
        find_clips(tmp_path)


def test_file_that_is_no_table(tmp_path, record):
    with pytest.raises(InputError, match=r"x\.wav: of no known layout"):
        find_clips(record(tmp_path / "x.wav"))


def test_mixture(dcase_folder, record):
    record(dcase_folder / "pump/id_00/normal/00000000.wav")
    with pytest.raises(
        InputError, match=r"a mixture of the layouts DCASE \(fan/train/.*\) and MIMII \(pump/id_00/normal/\)"
    ):
        find_clips(dcase_folder)


def test_metadata_beside_the_machines_is_not_a_table(dcase_folder):
    (dcase_folder / "metadata.csv").write_text("path,machine_type,machine_id,split,label,speed\n")
    assert len(find_clips(dcase_folder)) == 10


def test_hidden_files_and_remains_of_archives_are_ignored(dcase_folder, record):
    record(dcase_folder / "fan/train/._normal_id_00_00000000.wav")
    record(dcase_folder / "__MACOSX/fan/train/normal_id_00_00000000.wav")
    (dcase_folder / ".DS_Store").touch()
    assert len(find_clips(dcase_folder)) == 10


@pytest.mark.parametrize(
    ("name", "clips", "machines"), [("dcase2020_samples", 64, 17), ("mimii_8ch_samples", 4, 1), ("toycar", 1260, 4)]
)
def test_real_folders(shared, name, clips, machines):
    found = find_clips(shared / "data" / name)
    assert len(found) == clips
    assert len({clip.machine for clip in found}) == machines
