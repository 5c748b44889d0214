import errno

import pytest

from collab_asd.core.files import filling, replacing


def test_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "a.bin"
    with replacing(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"


def write_half(path):
    with replacing(path) as file:
        file.write(b"half")
        raise InterruptedError


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(InterruptedError):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def run_out_of_space(path, error):
    with replacing(path) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), OSError("9 requested and 4 written")])
def test_a_full_disk_is_told_with_the_file(tmp_path, error):
    with pytest.raises(OSError, match="No space left") as caught:
        run_out_of_space(tmp_path / "a.bin", error)
    assert (caught.value.filename, caught.value.errno) == (str(tmp_path / "a.bin"), errno.ENOSPC)


def fill_half(folder, error):
    with filling(folder):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "file").touch()
        raise error


@pytest.mark.parametrize("there", [False, True])
def test_a_new_or_empty_folder_is_as_before_when_it_cannot_be_filled(tmp_path, there):
    folder = tmp_path / "above" / "folder"
    if there:
        folder.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match="No space left") as caught:
        fill_half(folder, OSError(errno.ENOSPC, "No space left"))
    assert caught.value.filename == str(folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_lay_in_a_folder_stays_when_it_cannot_be_filled(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(KeyboardInterrupt):
        fill_half(tmp_path, KeyboardInterrupt())
    assert (tmp_path / "mine").exists()
