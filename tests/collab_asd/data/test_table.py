import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.layouts import find_clips, list_clips
from collab_asd.data.layouts.table import matches, read

HEADER = "path,machine_type,machine_id,split,label"


@pytest.fixture
def table(tmp_path, record):
    record(tmp_path / "a.wav")
    record(tmp_path / "b.wav")

    def write(*lines, header=HEADER):
        path = tmp_path / "table.csv"
        path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
        return path

    return write


def test_rows_are_clips(table, tmp_path):
    path = table("a.wav,fan,00,train,0", "./b.wav,pump, 2 ,test,")
    for data_dir in (path, tmp_path):
        first, second = read(data_dir, 0)
        assert (first.path, first.machine, first.split, first.label) == (tmp_path / "a.wav", "fan/00", "train", 0)
        assert (second.path, second.machine, second.split, second.label) == (tmp_path / "b.wav", "pump/2", "test", None)


def test_columns_in_any_order_and_a_byte_order_mark(table, tmp_path):
    assert matches(table("1,test,00,fan,a.wav", header="\ufefflabel,split,machine_id,machine_type,path"))
    (clip,) = read(tmp_path, 0)
    assert (clip.machine, clip.split, clip.label) == ("fan/00", "test", 1)


def test_further_columns_only_where_the_table_is_named(table, tmp_path):
    path = table("a.wav,fan,00,train,0,3", header=HEADER + ",speed")
    assert not matches(tmp_path)
    assert len(read(path, 0)) == 1


def test_two_tables(table, tmp_path):
    table("a.wav,fan,00,train,0")
    (tmp_path / "other.csv").write_text(HEADER + "\n")
    with pytest.raises(InputError, match=r"other\.csv, .*table\.csv: several tables"):
        read(tmp_path, 0)


def test_missing_column(table):
    with pytest.raises(InputError, match=r"table\.csv, line 1: no column machine_id, label; the header must be"):
        read(table("a.wav,fan,train", header="path,machine_type,split"), 0)


def test_file_that_is_no_text(table):
    path = table("a.wav,fan,00,train,0")
    path.write_bytes(path.read_bytes() + bytes(range(200)))
    with pytest.raises(InputError, match=r"table\.csv: is no text file; save it as text in UTF-8"):
        read(path, 0)


@pytest.mark.parametrize(
    ("word", "label"),
    [("normal", 0), ("Anomaly", 1), ("abnormal", 1), ("0.0", 0), ("1.0", 1), ("NaN", None), ("unknown", None)],
)
def test_words_for_labels(table, word, label):
    (clip,) = read(table(f"a.wav,fan,00,Test,{word}"), 0)
    assert (clip.label, clip.split) == (label, "test")


def test_table_of_another_country(table, tmp_path, record):
    record(tmp_path / "prüfstand 1/a.wav")
    path = table(
        "prüfstand 1\\a.wav;Lüfter;00;train;0", "", ";;;;", header="File Name;Machine Type;machine-id;Split;Label"
    )
    path.write_bytes(path.read_text(encoding="utf-8").replace("\n", "\r\n").encode("cp1252"))
    assert matches(tmp_path)
    (clip,) = read(tmp_path, 0)
    assert (clip.path, clip.machine) == (tmp_path / "prüfstand 1/a.wav", "Lüfter/00")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c.wav,fan,00,train,0", "c.wav (line 3): no such file"),
        (",fan,00,train,0", "table.csv (line 3): column path of table.csv is empty"),
        ("table.csv,fan,00,train,0", "table.csv (line 3): not a recording"),
        ("b.wav,,00,train,0", "b.wav (line 3: ''): column machine_type"),
        ("b.wav,fan,0/1,train,0", "b.wav (line 3: '0/1'): column machine_id"),
        ("b.wav,fan,00,dev,0", "b.wav (line 3: 'dev'): column split of table.csv is not train or test"),
        ("b.wav,fan", "b.wav (line 3: ''): column split"),
        ("b.wav,fan,00,train,true", "(line 3: 'true'): column label of table.csv is not 0 or normal, 1 or anomaly"),
        ("./a.wav,fan,00,train,0", "a.wav (line 3: it is in line 2): listed twice in table.csv"),
        ("b.wav,fan,00,train,0,0", "table.csv (line 3): 6 cells, where the header has 5"),
    ],
)
def test_wrong_cell_is_named_by_line_and_column(table, line, message):
    with pytest.raises(InputError) as error:
        read(table("a.wav,fan,00,train,0", line), 0)
    assert message in str(error.value)


def test_all_that_is_wrong_with_a_table_is_told_at_once_by_kind(table):
    lines = [f"x{number}.wav,fan,00,train,0" for number in range(7)]
    lines += ["a.wav,fan,00,dev,maybe", "b.wav,fan,00,train,sometimes"]
    with pytest.raises(InputError) as error:
        find_clips(table(*lines))
    missing, split, label, *_ = str(error.value).splitlines()
    assert "x4.wav (line 6) and 2 more: no such file" in missing
    assert "a.wav (line 9: 'dev'): column split" in split
    assert "a.wav (line 9: 'maybe'), " in label
    assert "b.wav (line 10: 'sometimes'): column label" in label


@pytest.mark.parametrize(
    ("words", "label"),
    [("good ok healthy Nominal", 0), ("faulty Defective broken ng ABNORMAL", 1), ("NaN unknown", None)],
)
def test_words_of_both_labels(table, words, label):
    listed = read(
        table(*(f"{name}.wav,fan,00,test,{word}" for name, word in zip("ab", words.split(), strict=False))), 0
    )
    assert {clip.label for clip in listed} == {label}


def test_rows_that_are_wrong_can_be_left_out(table, tmp_path):
    listing = list_clips(table("a.wav,fan,00,train,0", "b.wav,fan,00,train,perhaps"))
    assert [clip.path.name for clip in listing.clips] == ["a.wav"]
    assert [fault.path for fault in listing.refused] == [tmp_path / "b.wav"]
    assert not listing.unread


def test_files_that_are_not_there_can_be_left_out(table, tmp_path):
    listing = list_clips(table("a.wav,fan,00,train,0", "gone.wav,fan,00,train,0"))
    assert [clip.path.name for clip in listing.clips] == ["a.wav"]
    assert [fault.path for fault in listing.refused] == [tmp_path / "gone.wav"]
