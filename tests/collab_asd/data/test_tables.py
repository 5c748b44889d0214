import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.tables import path_of, read_header, read_table

PLAIN = "path,factory,speed\na.wav,Köln,6\nb.wav,Lyon,7\n"


def rows_of(path):
    return [(row.line, *row.cells.values()) for row in read_table(path, ["path"])]


@pytest.fixture
def table(tmp_path):
    def write(content, encoding="utf-8"):
        (tmp_path / "table.csv").write_bytes(content.encode(encoding))
        return tmp_path / "table.csv"

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_separators_and_ends_of_lines(table, encoding, separator, end):
    path = table(PLAIN.replace(",", separator).replace("\n", end), encoding)
    assert read_header(path) == ["path", "factory", "speed"]
    assert rows_of(path) == [(2, "a.wav", "Köln", "6"), (3, "b.wav", "Lyon", "7")]


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;;;\n"])
def test_line_by_which_excel_tells_the_separator(table, first):
    assert rows_of(table(first + "path;note\na.wav;x,y,z\n")) == [(3, "a.wav", "x,y,z")]


@pytest.mark.parametrize("name", ["file_name", "File Name", " path ", "FilePath", "filename", "file", '"path"'])
def test_names_of_the_column_of_paths(table, name):
    assert read_header(table(f"{name},label\na.wav,0\n")) == ["path", "label"]


def test_a_column_path_beside_a_column_file(table):
    assert read_header(table("file,path,label\n")) == ["file", "path", "label"]


def test_separators_within_cells_decide_nothing(table):
    assert rows_of(table('path;"load, kg; of two";speed\na.wav;"0,7";1,5\n')) == [(2, "a.wav", "0,7", "1,5")]


def test_empty_lines_and_line_breaks_in_quotes_keep_the_count_of_lines(table):
    path = table('\n\npath,note\n\na.wav,"first\nsecond"\n , \nb.wav,x\n\n')
    assert rows_of(path) == [(5, "a.wav", "first\nsecond"), (8, "b.wav", "x")]


def test_cells_that_are_missing_or_empty_at_the_end(table):
    assert rows_of(table("path,note,\na.wav\nb.wav,x,,,\n")) == [(2, "a.wav", ""), (3, "b.wav", "x")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,load\na.wav,0,7\n", r"line 2\): 3 cells, where the header has 2; put cells that hold ',' in quotes"),
        ("name;speed\n", r"line 1: no column path; the header must be path, and is name, speed"),
        ("path,load,Load\n", "line 1: two columns load; rename one"),
        ('path,note\na.wav,"never closed\nb.wav,x\n', "line 2: no row of a table"),
        ("path\0,x\n", "is no text file"),
        ("", "no column path"),
    ],
)
def test_what_is_no_table_is_refused_by_line(table, content, words):
    with pytest.raises(InputError, match=rf"table\.csv.*{words}"):
        read_table(table(content), ["path"])


def test_paths_of_windows(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "a\\b.wav").touch()
    assert path_of(tmp_path, "train\\a.wav") == tmp_path / "train/a.wav"
    assert path_of(tmp_path, ".\\train\\..\\a.wav") == tmp_path / "a.wav"
    assert path_of(tmp_path, "a\\b.wav") == tmp_path / "a\\b.wav", "a name that exists is meant as it stands"
