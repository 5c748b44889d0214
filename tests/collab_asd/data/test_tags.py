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


def test_speeds_and_loads_as_people_write_them(tmp_path, clips):
    (tmp_path / "metadata.csv").write_text(
        "File name;Load;speed\n"
        + "".join(f"{i}.wav;{row}\n" for i, row in enumerate(("0,7;6V", "20 %;7 V", "high;9V")))
    )
    assert [tags_of(tmp_path, clips)[clip] for clip in clips] == [
        {"load": "high", "speed": "low"},
        {"load": "low", "speed": "low"},
        {"load": "high", "speed": "high"},
        {},
    ]


def test_speeds_in_words_are_kinds(tmp_path, clips):
    (tmp_path / "metadata.csv").write_text("path,speed\n0.wav,slow\n1.wav,fast\n")
    assert [tags_of(tmp_path, clips)[clip].get("speed") for clip in clips] == ["slow", "fast", None, None]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            "path,speed\n0.wav,6V\n1.wav,700 rpm\n",
            "line 3, column speed: '700 rpm' cannot be .* '6V' in line 2",
        ),
        ("path,speed\n0.wav,6\n1.wav,fast\n", "line 3, column speed: 'fast' cannot be compared"),
        ("path,speed\n0.wav,6\n./0.wav,7\n", r"line 3: contradicts line 2.*0\.wav"),
        ("name,speed\n0.wav,6\n", "line 1: no column path; the header must be path, and is name, speed"),
        ("", "no column path.*is nothing"),
    ],
)
def test_what_cannot_be_understood_is_named_by_its_line(tmp_path, clips, table, words):
    (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(InputError, match=rf"metadata\.csv, .*{words}"):
        tags_of(tmp_path, clips)
