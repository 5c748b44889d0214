from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.layouts.mimii import matches, read, split_by_hash


def clips(machine, label, count, hashes):
    split = "test" if label else "train"
    return [Clip(Path(f"{machine}/{label}/{i}.wav"), "fan", machine, split, label, next(hashes)) for i in range(count)]


def numbered():
    return (f"{number * 7919 % 1009:064x}" for number in range(1009))  # distinct, and not in the order of names


def test_places_tell_machine_and_label(tmp_path, record):
    for number in range(3):
        record(tmp_path / f"fan/id_00/normal/{number:08}.wav")
    record(tmp_path / "fan/id_00/abnormal/00000000.wav")
    record(tmp_path / "pump/id_02/normal/00000000.wav")
    found = sorted((clip.machine, clip.split, clip.label) for clip in read(tmp_path, 0))
    assert found == [
        ("fan/00", "test", 0),
        ("fan/00", "test", 1),
        ("fan/00", "train", 0),
        ("fan/00", "train", 0),
        ("pump/02", "train", 0),
    ]


@pytest.mark.parametrize(
    ("normals", "anomalies", "held_out"), [(10, 3, 3), (10, 5, 5), (10, 9, 5), (5, 9, 2), (9, 0, 0)]
)
def test_as_many_normals_as_anomalies_but_at_most_half(normals, anomalies, held_out):
    hashes = numbered()
    split = split_by_hash(clips("00", 0, normals, hashes) + clips("00", 1, anomalies, hashes))
    assert [clip.label for clip in split if clip.split == "test"] == [0] * held_out + [1] * anomalies


def test_first_by_content_hash_are_held_out():
    normals = [
        replace(clip, sha256=digit * 64) for clip, digit in zip(clips("00", 0, 4, numbered()), "b3a1", strict=True)
    ]
    split = split_by_hash(normals + clips("00", 1, 2, numbered()))
    assert [clip.split for clip in split[:4]] == ["train", "test", "train", "test"]


@given(st.permutations(range(18)))
def test_split_depends_on_neither_order_nor_names(order):
    hashes = numbered()
    original = clips("00", 0, 9, hashes) + clips("00", 1, 4, hashes) + clips("02", 0, 5, hashes)
    shuffled = [replace(original[number], path=Path(f"{name}.wav")) for name, number in enumerate(order)]

    def splits(some):
        return {clip.sha256: clip.split for clip in split_by_hash(some)}

    assert splits(shuffled) == splits(original)


@pytest.mark.parametrize("place", ["stray.wav", "fan/00000000.wav", "fan/id_02/00000000.wav"])
def test_recording_outside_normal_and_abnormal(tmp_path, record, place):
    record(tmp_path / "fan/id_00/normal/00000000.wav")
    record(tmp_path / place)
    with pytest.raises(InputError, match=f"{place}: in the wrong place"):
        read(tmp_path, 0)


def test_does_not_match_other_layouts(dcase_folder):
    assert not matches(dcase_folder)


def test_real_samples(shared):
    found = read(shared / "data/mimii_8ch_samples", 0)
    assert sorted((clip.machine, clip.split, clip.label) for clip in found) == [
        ("fan/00", "test", 0),
        ("fan/00", "test", 1),
        ("fan/00", "test", 1),
        ("fan/00", "train", 0),
    ]
