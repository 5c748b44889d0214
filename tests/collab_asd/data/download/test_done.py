import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.download import plan as done

FAN = done.Unpacked("4dec75ca8d9f666aa9e4c1894a740501", {"fan/train": 2})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fan" / "train").mkdir(parents=True)
    for name in "ab":
        (tmp_path / "fan" / "train" / name).touch()
    return tmp_path


def test_nothing_yet(tmp_path):
    assert done.read(tmp_path) == {}


def test_remembered(folder):
    done.add(folder, "a.zip", FAN)
    done.add(folder, "b.zip", done.Unpacked(None, {"fan/train": 1}))
    assert done.read(folder) == {"a.zip": FAN, "b.zip": done.Unpacked(None, {"fan/train": 1})}


def test_recordings_were_deleted(folder):
    done.add(folder, "a.zip", FAN)
    (folder / "fan" / "train" / "a").unlink()
    assert done.read(folder) == {}


def test_folder_was_deleted(folder):
    done.add(folder, "a.zip", FAN)
    (folder / "fan").rename(folder / "van")
    assert done.read(folder) == {}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"zips": {"a.zip": 5}}', '{"zips": {"a.zip": {"size": 5}}}'])
def test_file_of_somebody_else(folder, content):
    (folder / ".downloaded.json").write_text(content)
    with pytest.raises(InputError, match=r"\.downloaded\.json: expected a list of what was downloaded.*delete it"):
        done.read(folder)
