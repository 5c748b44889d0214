import json
import os

import pytest

from collab_asd.core.checksums import Checksums

MD5_OF_ABC = "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, appendix A.5


@pytest.fixture
def reads(on_advance):
    """Name of the step in which each piece of a file was read."""
    steps = []
    on_advance(lambda what, amount: steps.append(what))
    return steps


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"abc")
    return path


def test_read_once_by_any_process(file, reads):
    for _ in range(2):
        assert Checksums(file.with_name("verified.json")).hexdigest(file, "md5") == MD5_OF_ABC
    assert reads == ["verifying a.zip"]


def test_not_read_after_a_rename(file, reads):
    checksums = Checksums(file.with_name("verified.json"))
    checksums.hexdigest(file, "md5")
    new = file.rename(file.with_name("b.zip"))
    checksums.moved(file, new)
    assert checksums.hexdigest(new, "md5") == MD5_OF_ABC
    assert reads == ["verifying a.zip"]


@pytest.mark.parametrize("content", [b"abcd", b"abd"])
def test_read_again_when_it_changed(file, reads, content):
    checksums = Checksums(file.with_name("verified.json"))
    checksums.hexdigest(file, "md5")
    file.write_bytes(content)
    os.utime(file, ns=(0, 0))
    assert checksums.hexdigest(file, "md5") != MD5_OF_ABC
    assert len(reads) == 2


@pytest.mark.parametrize("memory", ["{", "[]", '{"a.zip": 5}'])
def test_memory_that_makes_no_sense_is_forgotten(file, memory):
    path = file.with_name("verified.json")
    path.write_text(memory)
    assert Checksums(path).hexdigest(file, "md5") == MD5_OF_ABC
    assert list(json.loads(path.read_text())) == [str(file)]
