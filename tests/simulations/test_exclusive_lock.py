import pytest

from collab_asd.core.files import exclusive_lock


def refuse(folder, *, leaves=()):
    with exclusive_lock(folder, "run"):
        for name in leaves:
            (folder / name).touch()
        raise ValueError


@pytest.mark.parametrize(("leaves", "stays"), [((), False), (("page",), True)])
def test_work_that_fails_before_it_leaves_anything_leaves_no_folder(tmp_path, leaves, stays):
    with pytest.raises(ValueError, match=r"^$"):
        refuse(tmp_path / "run", leaves=leaves)
    assert (tmp_path / "run").exists() == stays


def test_a_folder_that_was_there_stays(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(ValueError, match=r"^$"):
        refuse(tmp_path / "run")
    assert (tmp_path / "run").is_dir()
