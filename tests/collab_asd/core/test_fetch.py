"""Each test is one thing that goes wrong on the way of a file."""

import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from collab_asd.core import checksums
from collab_asd.core.checksums import Checksums
from collab_asd.core.errors import InputError
from collab_asd.core.transfer import fetch, open_session

pytestmark = pytest.mark.usefixtures("small_chunks")

NAME = "a.zip"


@pytest.fixture
def content(site, noise):
    site.files[NAME] = noise(1000)
    return site.files[NAME]


def get(site, folder, **changes):
    remote = replace(site.remote(NAME), **changes)
    with open_session() as session:
        return fetch(remote, folder, session, Checksums(folder / "verified.json"))


def ranges(site):
    return [wanted for _, wanted in site.asked]


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "verified.json")


def test_nothing_goes_wrong(site, content, tmp_path):
    path = get(site, tmp_path)
    assert path == tmp_path / NAME
    assert path.read_bytes() == content
    assert ranges(site) == [None]
    assert left(tmp_path) == [NAME]


def test_breaks_off_once(site, content, tmp_path, Fault):
    site.faults = [Fault(breaks_at=400)]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, "bytes=400-"]


def test_breaks_off_again_and_again_but_gains(site, content, tmp_path, Fault):
    site.faults = [Fault(breaks_at=100) for _ in range(9)]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, *(f"bytes={start}-" for start in range(100, 1000, 100))]


def test_always_breaks_off(site, content, tmp_path, Fault):
    site.faults = [Fault(breaks_at=400)]
    site.faults += [Fault(breaks_at=0) for _ in range(4)]
    with pytest.raises(
        InputError, match=r"a\.zip: the connection broke 4 times at 400 of 1000 bytes .*same command res"
    ):
        get(site, tmp_path)
    assert ranges(site) == [None, *["bytes=400-"] * 4]
    assert (tmp_path / "a.zip.part").read_bytes() == content[:400]
    assert left(tmp_path) == ["a.zip.part"]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site)[-1] == "bytes=400-"


def test_always_breaks_off_and_knows_no_ranges(site, content, tmp_path, Fault):
    site.always = Fault(breaks_at=400, ignores_range=True)
    with pytest.raises(InputError, match="the connection broke 4 times at 400 of 1000 bytes"):
        get(site, tmp_path)
    assert len(site.asked) == 5  # the first one gained


def test_server_knows_no_ranges(site, content, tmp_path, Fault):
    site.faults = [Fault(breaks_at=400), Fault(ignores_range=True)]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, "bytes=400-"]


def test_server_gives_another_range(site, content, tmp_path, Fault):
    site.faults = [Fault(breaks_at=400), Fault(gives_range_from=300)]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, "bytes=400-", None]


def test_process_dies_in_the_middle(site, content, tmp_path, on_advance):
    def killed(what, amount):
        raise KeyboardInterrupt

    on_advance(killed)
    with pytest.raises(KeyboardInterrupt):
        get(site, tmp_path)
    on_advance(lambda what, amount: None)
    assert left(tmp_path) == ["a.zip.part"]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, "bytes=100-"]


def test_part_is_longer_than_the_file(site, content, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(content + b"more")
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None]


def test_part_is_all_there(site, content, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(content)
    assert get(site, tmp_path).read_bytes() == content
    assert site.asked == []


def test_part_is_of_another_file(site, content, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"?" * 600)
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == ["bytes=600-", None]


def test_wrong_content_once(site, content, tmp_path, Fault):
    site.faults = [Fault(content=content[:-1] + b"?")]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, None]


def test_wrong_content_always(site, content, tmp_path, Fault):
    wrong = content[:-1] + b"?"
    site.always = Fault(content=wrong)
    expected, found = hashlib.md5(content).hexdigest(), hashlib.md5(wrong).hexdigest()
    with pytest.raises(InputError, match=rf"a\.zip: expected MD5 {expected}, found {found}, 2 times"):
        get(site, tmp_path)
    assert ranges(site) == [None, None]
    assert left(tmp_path) == []


def test_server_gives_too_much(site, content, tmp_path, Fault):
    site.always = Fault(content=content * 50)
    with pytest.raises(InputError, match="expected 1000 bytes, found 1100, 2 times"):
        get(site, tmp_path)
    assert left(tmp_path) == []


def test_server_promises_too_little(site, content, tmp_path, Fault):
    site.faults = [Fault(promises=700)]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, "bytes=700-"]


def test_server_promises_too_much(site, content, tmp_path, Fault):
    site.faults = [Fault(promises=1300)]
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None]


def test_file_is_shorter_on_the_server(site, content, tmp_path, Fault):
    site.always = Fault(content=content[:600])
    with pytest.raises(InputError, match=r"the connection broke 4 times at .* of 1000 bytes"):
        get(site, tmp_path)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_server_is_busy_for_a_while(site, content, tmp_path, Fault, status):
    site.faults = [Fault(status=status, headers={"Retry-After": "3600"}), Fault(status=status)]
    assert get(site, tmp_path).read_bytes() == content
    assert len(site.asked) == 3


@pytest.mark.parametrize(("status", "times"), [(429, 5), (500, 5), (403, 1), (404, 1)])
def test_server_refuses(site, content, tmp_path, Fault, status, times):
    site.always = Fault(status=status)
    with pytest.raises(InputError, match=rf"a\.zip: cannot be downloaded \(HTTP {status} .*same command resumes"):
        get(site, tmp_path)
    assert len(site.asked) == times


def test_nobody_listens(site, content, tmp_path):
    site.url = "http://127.0.0.1:1"
    with pytest.raises(InputError, match=r"a\.zip: cannot be downloaded \(no connection"):
        get(site, tmp_path)


def test_what_is_verified_is_neither_asked_for_nor_read(site, content, tmp_path, monkeypatch):
    path = get(site, tmp_path)
    monkeypatch.setattr(checksums, "_read", None)
    assert get(site, tmp_path) == path
    assert len(site.asked) == 1


def test_verified_file_was_changed(site, content, tmp_path):
    get(site, tmp_path).write_bytes(b"!" * 1000)
    assert get(site, tmp_path).read_bytes() == content
    assert ranges(site) == [None, None]


def test_nothing_is_known_of_the_file(site, content, tmp_path, Fault):
    site.faults = [Fault(breaks_at=400)]
    assert get(site, tmp_path, size=None, md5=None).read_bytes() == content
    assert ranges(site) == [None, "bytes=400-"]


def test_part_of_unknown_size_is_all_there(site, content, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(content)
    assert get(site, tmp_path, size=None, md5=None).read_bytes() == content
    assert ranges(site) == ["bytes=1000-", None]


def test_disk_is_full(site, content, tmp_path, on_advance):
    def full(what, amount):
        raise OSError(errno.ENOSPC, "No space left on device")

    on_advance(full)
    with pytest.raises(OSError, match="No space left"):
        get(site, tmp_path)
    assert left(tmp_path) == ["a.zip.part"]
    assert content.startswith(Path(tmp_path / "a.zip.part").read_bytes())


def test_web_page_where_the_file_should_be(site, content, tmp_path, Fault):
    site.files[NAME] = b"\x89HDF\r\n\x1a\n" + content
    site.faults = [Fault(breaks_at=400), Fault(content=b"<html>log in</html>", ignores_range=True)]
    kind = replace(site.remote(NAME), begins=(b"\x89HDF\r\n\x1a\n",))
    with open_session() as session:
        verified = Checksums(tmp_path / "verified.json")
        with pytest.raises(InputError, match=r"expected a file of weights, found a web page.* the same command res"):
            fetch(kind, tmp_path, session, verified)
        assert fetch(kind, tmp_path, session, verified).read_bytes() == site.files[NAME]
    assert ranges(site) == [None, "bytes=400-", "bytes=400-"]


def test_sha256(site, content, tmp_path):
    right = hashlib.sha256(content).hexdigest()
    assert get(site, tmp_path, sha256=right).read_bytes() == content
    with pytest.raises(InputError, match=rf"expected SHA-256 {'0' * 64}, found {right}, 2 times"):
        get(site, tmp_path, sha256="0" * 64)
