import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip, Partition
from collab_asd.data.manifest import (
    ManifestRow,
    difference,
    manifest_rows,
    manifest_sha256,
    read_manifest,
    write_manifest,
)


def row(number, client="0", split="train", label="0", sha256=None):
    return ManifestRow(client, "fan", "00", split, label, f"fan/{number}.wav", sha256 or f"{number:064x}")


ROWS = [row(number) for number in range(8)]
CLIENTS = st.lists(st.sampled_from("0123"), min_size=8, max_size=8)


def test_file_has_the_columns_that_others_read(tmp_path):
    clips = (
        Clip(tmp_path / "data/fan/a, b.wav", "fan", "00", "train", 0, "a" * 64),
        Clip(tmp_path / "data/fan/c.wav", "fan", "00", "test", None, "c" * 64),
    )
    rows = manifest_rows([Partition(3, clips, (0, 0), (1, 1))], tmp_path / "data")
    write_manifest(tmp_path / "manifest.csv", rows)
    assert (tmp_path / "manifest.csv").read_text() == (
        "client,machine_type,machine_id,split,label,clip,sha256\n"
        f'3,fan,00,train,0,"fan/a, b.wav",{"a" * 64}\n'
        f"3,fan,00,test,,fan/c.wav,{'c' * 64}\n"
    )
    assert read_manifest(tmp_path / "manifest.csv") == rows


def test_clips_of_a_table_are_named_from_the_table(tmp_path):
    (tmp_path / "table.csv").touch()
    clips = (Clip(tmp_path / "sub/a.wav", "fan", "00", "train", 0, "a" * 64),)
    (only,) = manifest_rows([Partition(0, clips, (0,), (0,))], tmp_path / "table.csv")
    assert only.clip == "sub/a.wav"


def test_hash_is_over_sorted_identities():
    rows = [row(2, split="test", label=""), row(1)]
    text = f"{1:064x},train,0\n{2:064x},test,"
    assert manifest_sha256(rows) == hashlib.sha256(text.encode()).hexdigest()


@given(st.permutations(ROWS), CLIENTS)
def test_neither_order_nor_client_nor_name_matters(shuffled, clients):
    moved = [old._replace(client=client, clip=f"x/{old.clip}") for old, client in zip(shuffled, clients, strict=True)]
    assert manifest_sha256(moved) == manifest_sha256(ROWS)
    assert difference(ROWS, moved) == ""


@given(st.integers(0, 7), st.sampled_from([{"label": "1"}, {"label": ""}, {"split": "test"}, {"sha256": "f" * 64}]))
def test_content_split_and_label_matter(number, change):
    changed = [old._replace(**change) if old is ROWS[number] else old for old in ROWS]
    assert manifest_sha256(changed) != manifest_sha256(ROWS)
    assert difference(ROWS, changed) == f"changed: fan/{number}.wav"


def test_difference_names_five_clips_of_each_kind():
    now = [ROWS[6]._replace(label="1"), ROWS[7], row(9)]
    assert difference(ROWS, now) == (
        "changed: fan/6.wav; missing: fan/0.wav, fan/1.wav, fan/2.wav, fan/3.wav, fan/4.wav and 1 more; new: fan/9.wav"
    )


def test_a_copy_too_many_differs():
    assert difference(ROWS, [*ROWS, ROWS[0]._replace(clip="fan/copy.wav")]) == "new: fan/copy.wav"


@pytest.mark.parametrize("content", ["", "client,clip\n0,a.wav\n", ",".join(ManifestRow._fields) + "\n0,fan\n"])
def test_file_that_is_no_manifest(tmp_path, content):
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(InputError, match=r"manifest\.csv: not a manifest .*start a new run"):
        read_manifest(tmp_path / "manifest.csv")


def test_manifest_that_is_not_there():
    with pytest.raises(InputError, match="No such file"):
        read_manifest(Path("nowhere/manifest.csv"))
