import errno
from collections import namedtuple

import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.download import unpack as space

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def disk(monkeypatch):
    asked = []
    monkeypatch.setattr(space.shutil, "disk_usage", lambda path: asked.append(path) or Usage(10**12, 0, 2 * 10**9))
    return asked


def test_enough_to_the_last_byte(tmp_path, disk):
    space.require_space(tmp_path, 2_000_000_000)
    assert disk == [tmp_path]
    with pytest.raises(InputError):
        space.require_space(tmp_path, 2_000_000_001)


def test_not_enough(tmp_path):
    with pytest.raises(InputError, match=r"data: needs 2\.1 GB, has 2\.0 GB free; free some space"):
        space.require_space(tmp_path / "data", 2_100_000_000)


def test_disk_of_a_folder_that_does_not_exist_yet(tmp_path, disk):
    space.free_space(tmp_path / "new" / "deep")
    assert disk == [tmp_path]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space, then the same command resumes"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, r"cannot be read or written \(.*; give another folder"),
    ],
)
def test_words_for_what_the_disk_refuses(tmp_path, number, words):
    with pytest.raises(InputError, match=words), space.disk_errors_explained(tmp_path):
        raise OSError(number, "refused")
