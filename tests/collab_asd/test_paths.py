from itertools import combinations
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_asd.core import files as paths
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir, holding_name, machine_folder_name, require_writable, results_dir

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("_id", max_size=8)


def test_plain_names_stay_readable():
    assert machine_folder_name("ToyCar", "01") == "ToyCar_id_01"
    assert machine_folder_name("slide rail", "00") == "slide rail_id_00"


@pytest.mark.parametrize(
    ("machine_type", "machine_id", "expected"),
    [
        ("Lüfter", "01", "L%C3%BCfter_id_01"),
        ("fan", "A/7", "fan_id_A%2F7"),
        ("..", "..", ".._id_.."),
        ("C:\\fan", "1", "C%3A%5Cfan_id_1"),
        ("50%", "1", "50%25_id_1"),
    ],
)
def test_what_a_path_cannot_hold_is_escaped(machine_type, machine_id, expected):
    assert machine_folder_name(machine_type, machine_id) == expected


@given(NAMES, NAMES)
def test_any_name_is_one_part_of_a_path(machine_type, machine_id):
    name = machine_folder_name(machine_type, machine_id)
    for path in (PurePosixPath("results", name), PureWindowsPath("results", name)):
        assert path.parent.name == "results"
        assert path.name == name
    assert name.isascii()
    assert name not in (".", "..")


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
def test_different_machines_have_different_folders(one, other):
    assert (machine_folder_name(*one) == machine_folder_name(*other)) == (one == other)


def test_names_that_look_like_the_separator_stay_apart():
    machines = [("a_id_b", "c"), ("a", "b_id_c"), ("a_id", "b"), ("a", "id_b"), ("a%2F", "b"), ("a/", "b")]
    for one, other in combinations(machines, 2):
        assert machine_folder_name(*one) != machine_folder_name(*other)


def test_what_several_clients_keep_of_a_machine_stays_apart():
    assert holding_name("ToyCar", "01") == "ToyCar_id_01"
    assert holding_name("ToyCar", "01", client=2) == "client-2/ToyCar_id_01"


def test_configured_folders_are_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_dir("kept") == results_dir("kept", 7) == tmp_path / "kept"
    assert cache_dir("~/kept") == Path("/home/someone/kept")


def test_runs_without_a_configured_folder_have_one_each():
    assert results_dir("", 7).name == "run-7"
    assert results_dir("", 7) != results_dir("", 8)
    assert cache_dir("").is_absolute()


@pytest.mark.parametrize("below", ["", "new", "new/folder"])
def test_a_folder_that_can_be_made_is_accepted_and_not_made(tmp_path, below):
    require_writable(tmp_path / below, "name another")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["file", "file/folder", "x" * 300, "caf\udce9"])
def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        require_writable(tmp_path / folder, "name another with --out")
    assert str(tmp_path / folder) in str(caught.value)
    assert str(caught.value).endswith("; name another with --out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_read_only_folder_is_refused():
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here, which not even root can make files in")
    with pytest.raises(InputError, match=r"^/proc/collab-asd: nothing can be written there"):
        require_writable(Path("/proc/collab-asd"), "name another")


@pytest.mark.parametrize(
    ("whose", "find"), [("user_cache_path", cache_dir), ("user_data_path", lambda _: results_dir("", 1))]
)
def test_no_home_folder_is_no_folder_called_tilde(monkeypatch, whose, find):
    monkeypatch.setattr(paths, whose, lambda app: Path("~/of/nobody"))
    with pytest.raises(InputError, match="no home folder"):
        find("")
