from pathlib import Path

import pytest

from collab_asd.core.errors import InputError
from collab_asd.core.types import Clip
from collab_asd.data.tags import attribute_of, tags_of

HEAD = "path,factory,load,shift"


@pytest.fixture
def clips(tmp_path):
    return [Clip(tmp_path / f"{i}.wav", "fan", "00", "train", 0, f"{i}", 0) for i in range(4)]


def table(folder: Path, rows: str) -> None:
    (folder / "metadata.csv").write_text(
        f"{HEAD}\n" + "".join(f"{i}.wav,{row}\n" for i, row in enumerate(rows.split()))
    )


def test_columns_are_read_by_path_and_load_by_half(tmp_path, clips):
    table(tmp_path, "A,0.2,early B,0.7,late A,0.5,late B,0.49,early")
    assert attribute_of(tmp_path, clips, "factory") == ["A", "B", "A", "B"]
    assert attribute_of(tmp_path, clips[::-1], "shift") == ["early", "late", "late", "early"]
    assert attribute_of(tmp_path, clips, "load") == ["low", "high", "high", "low"]
    assert tags_of(tmp_path, clips)[clips[1]] == {"factory": "B", "load": "high"}


def test_a_table_lies_beside_a_listing_of_recordings(tmp_path, clips):
    table(tmp_path, "A,0.2,early B,0.7,late A,0.5,late B,0.49,early")
    (tmp_path / "recordings.csv").touch()
    assert attribute_of(tmp_path / "recordings.csv", clips, "factory") == ["A", "B", "A", "B"]


@pytest.mark.parametrize(
    ("rows", "name", "words"),
    [
        ("", "factory", r"no column 'factory' .*there is none.*path,factory"),
        ("A,0,x B,0,x A,0,x B,0,x", "wind", r"no column 'wind' .*\(factory, load, shift\)"),
        ("A,0,x B,0,x A,0,x", "factory", r"says nothing of 3\.wav, and of 1 recordings"),
        ("A,0,x ,0,x A,0,x B,0,x", "factory", r"says nothing of 1\.wav"),
        ("A,0,x A,0,x A,0,x A,0,x", "factory", r"1 values for the 4 training clips .*'A' 4 times: two values"),
        ("A,0,x A,0,x A,0,x B,0,x", "factory", r"2 values .*'B' 1 times: two values at least, each 2 times"),
    ],
)
def test_what_a_table_lacks_is_named(tmp_path, clips, rows, name, words):
    if rows:
        table(tmp_path, rows)
    with pytest.raises(InputError, match=rf"erase = '{name}'.*metadata\.csv.*{words}"):
        attribute_of(tmp_path, clips, name)
