"""Which clips a run takes from a data folder, and what it remembers of them."""

import shutil

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.data.layouts import clip_name, find_clips, list_clips
from collab_asd.data.run_data import left_out, load_partitions, require_trainable, run_clips


@pytest.fixture
def config(tmp_path):
    def config(folder, **settings):
        return RunConfig(data_dir=str(folder), cache_dir=str(tmp_path / "cache"), **settings)

    return config


def tell(config):
    """Read the data of a run as it does."""
    require_trainable(config, load_partitions(config, 0), shares=False)


def listing(folder, name, machine_of):
    lines = ["path,machine_type,machine_id,split,label"]
    for clip in find_clips(folder):
        label = "" if clip.label is None else clip.label
        lines.append(f"{clip.path},fan,{machine_of(clip)},{clip.split},{label}")
    (folder.parent / name).write_text("\n".join(lines))
    return folder.parent / name


def test_clips_that_passed_are_checked_again_under_another_machine(dcase_folder, config):
    right = listing(dcase_folder, "right.csv", lambda clip: clip.machine_id)
    wrong = listing(dcase_folder, "wrong.csv", lambda clip: "02" if clip.path.stem == "normal_id_02_00000000" else "00")
    tell(config(right))
    with pytest.raises(InputError, match=r"fan/02: nothing to train on: too few normal training clips \(1\)"):
        tell(config(wrong))


def test_clips_that_passed_with_a_difference_allowed_are_checked_again_without(dcase_folder, config, record):
    record(dcase_folder / "fan/test/normal_id_00_00000000.wav", rate=16_000)
    tell(config(dcase_folder, allow_mixed=True))
    with pytest.raises(InputError, match="sample rate"):
        tell(config(dcase_folder))


def test_clips_that_passed_are_not_decoded_again(dcase_folder, config, monkeypatch):
    tell(config(dcase_folder))
    monkeypatch.setattr("collab_asd.data.run_data.check", None)
    tell(config(dcase_folder))


@pytest.fixture
def messy_folder(dcase_folder, record):
    """Beside what is right a misnamed file, one in the wrong place, one that is no recording and a damaged one."""
    record(dcase_folder / "fan/train/noname.wav")
    record(dcase_folder / "fan/other/deep/normal_id_00_00000001.wav")
    (dcase_folder / "fan/train/notes.txt").touch()
    damaged = record(dcase_folder / "fan/train/normal_id_00_00000008.wav")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    return dcase_folder


def test_all_that_is_not_as_expected_is_told_at_once(messy_folder):
    with pytest.raises(InputError) as error:
        find_clips(messy_folder)
    assert all(name in str(error.value) for name in ("noname.wav", "other/deep/normal_id_00_00000001", "notes.txt"))


def test_what_cannot_be_used_is_left_out_and_the_names_stay(messy_folder, config):
    skipping = config(messy_folder, skip_bad=True)
    lines = "\n".join(left_out(skipping))
    assert all(name in lines for name in ("noname.wav", "other/deep", "notes.txt", "normal_id_00_00000008.wav"))
    names = [clip_name(clip, messy_folder) for clip in run_clips(skipping, 0)]
    for path in ("train/noname.wav", "train/notes.txt", "train/normal_id_00_00000008.wav"):
        (messy_folder / "fan" / path).unlink()
    shutil.rmtree(messy_folder / "fan/other")
    assert names == [clip_name(clip, messy_folder) for clip in find_clips(messy_folder)]
    assert names[0] == "fan/test/anomaly_id_00_00000000.wav"


def test_what_is_left_out_is_found_out_once(messy_folder, config, monkeypatch):
    skipping = config(messy_folder, skip_bad=True)
    clips, lines = run_clips(skipping, 0), left_out(skipping)
    monkeypatch.setattr("collab_asd.data.run_data.check", None)
    assert (run_clips(skipping, 0), left_out(skipping)) == (clips, lines)


def test_splits_are_those_of_a_folder_without_what_is_left_out(tmp_path, record, config):
    for machine in ("00", "02"):
        for i in range(9):
            record(tmp_path / f"data/fan/id_{machine}/normal/{i:08d}.wav")
        for i in range(3):
            record(tmp_path / f"data/fan/id_{machine}/abnormal/{i:08d}.wav")
    tests = [clip.path for clip in find_clips(tmp_path / "data") if clip.split == "test" and not clip.label]
    tests[0].write_bytes(tests[0].read_bytes()[:1000])
    left = run_clips(config(tmp_path / "data", skip_bad=True), 0)
    tests[0].unlink()
    assert left == find_clips(tmp_path / "data")


def test_recording_that_a_table_does_not_list_is_named(tmp_path, record):
    listed, stray = (record(tmp_path / "data" / name) for name in ("days/monday.wav", "days/late.wav"))
    (tmp_path / "data/clips.csv").write_text("path,machine_type,machine_id,split,label\ndays/monday.wav,fan,00,train,0")
    clips, refused, unread, *_ = list_clips(tmp_path / "data")
    assert ([clip.path for clip in clips], refused, unread) == ([listed], [], [stray])
    assert list_clips(tmp_path / "data/clips.csv").unread == []
