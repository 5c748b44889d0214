"""Weights from a server on loopback, from folders and from the cache."""

import hashlib
import json

import pytest

from collab_asd.core.errors import InputError
from collab_asd.encoders import weights
from collab_asd.encoders.weights import WeightSource, check, fetch, locate, provenance, resolve

CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<html><body>Please log in</body></html>"
NAME = "yamnet.h5"


@pytest.fixture(autouse=True)
def _no_folder_of_the_user(monkeypatch):
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)


@pytest.fixture
def source(site):
    """Weights that no hash is known of."""
    site.files[NAME] = CONTENT
    return WeightSource("YAMNet", f"{site.url}/files/{NAME}", NAME, "Apache-2.0", "nobody, 2019")


@pytest.fixture
def pinned(source):
    return WeightSource(**vars(source) | {"sha256": SHA256, "size": len(CONTENT)})


def left(folder) -> list[str]:
    """Files that a failed download leaves, but for the lock."""
    return sorted(p.name for p in (folder / "weights").iterdir() if not p.name.endswith(".lock"))


def test_first_download_is_kept_and_recorded(source, tmp_path):
    path = resolve(source, None, tmp_path)
    assert path == tmp_path / "weights" / NAME
    assert path.read_bytes() == CONTENT
    record = json.loads((tmp_path / "weights" / "yamnet.h5.json").read_text())
    assert (record["sha256"], record["size"], record["url"]) == (SHA256, 8 + 2048, source.url)
    assert left(tmp_path) == [NAME, "yamnet.h5.json"]
    assert check(source, path).startswith("recorded on ")


def test_second_use_asks_nobody(source, site, tmp_path):
    resolve(source, None, tmp_path)
    resolve(source, None, tmp_path)
    fetch(source, tmp_path / "weights")
    assert len(site.asked) == 1


def test_what_breaks_off_goes_on_where_it_was(source, site, tmp_path, Fault, small_chunks):
    site.faults = [Fault(breaks_at=400), *(Fault(breaks_at=0) for _ in range(4))]
    with pytest.raises(InputError, match=r"connection broke 4 times at 400 of an unknown.*resumes, or download .* by"):
        resolve(source, None, tmp_path)
    assert left(tmp_path) == ["yamnet.h5.part"]
    assert resolve(source, None, tmp_path).read_bytes() == CONTENT
    assert site.asked[-1] == (NAME, "bytes=400-")


def test_server_knows_no_ranges(pinned, site, tmp_path, Fault, small_chunks):
    site.faults = [Fault(breaks_at=400), Fault(ignores_range=True)]
    assert resolve(pinned, None, tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == [None, "bytes=400-"]


def test_server_gives_too_much(pinned, site, tmp_path, Fault):
    site.always = Fault(content=CONTENT * 2)
    with pytest.raises(InputError, match=r"expected 2056 bytes, found 4112, 2 times.*--weights"):
        resolve(pinned, None, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", ["source", "pinned"])
def test_web_page_instead_of_weights(request, site, tmp_path, Fault, kind):
    source = request.getfixturevalue(kind)
    site.always = Fault(content=PAGE, ignores_range=True)
    with pytest.raises(InputError, match=rf"{source.url}: expected a file of weights, found a web page, perhaps the l"):
        resolve(source, None, tmp_path)
    assert len(site.asked) == 1
    assert site.files[NAME] == CONTENT
    site.always = None
    assert resolve(source, None, tmp_path).read_bytes() == CONTENT


def test_not_found_on_the_server(source, site, tmp_path, Fault):
    site.always = Fault(status=404)
    with pytest.raises(InputError, match=rf"{source.url}: cannot be downloaded \(HTTP 404.*by hand.*--weights"):
        resolve(source, None, tmp_path)
    assert left(tmp_path) == []


def test_nobody_answers(source, tmp_path):
    source = WeightSource(**vars(source) | {"url": "http://127.0.0.1:1/yamnet.h5"})
    with pytest.raises(
        InputError, match=r"http://127\.0\.0\.1:1/yamnet\.h5: cannot be downloaded \(no connection.*--w"
    ):
        resolve(source, None, tmp_path)


def test_server_gives_another_file_the_second_time(source, site, tmp_path):
    resolve(source, None, tmp_path).unlink()
    site.files[NAME] = CONTENT[:-1] + b"!"
    now = hashlib.sha256(site.files[NAME]).hexdigest()
    with pytest.raises(
        InputError, match=rf"expected SHA-256 {SHA256}, found {now}, 2 times.*delete .*yamnet\.h5\.json"
    ):
        resolve(source, None, tmp_path)
    assert left(tmp_path) == ["yamnet.h5.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-5], r"expected 2056 bytes, found 2051 \(recorded on"),
        (CONTENT[:-1] + b"!", rf"expected SHA-256 {SHA256}, found [0-9a-f]{{64}} \(recorded on"),
        (PAGE, r"expected a file of weights, found a web page"),
    ],
)
def test_file_in_the_cache_was_changed(source, tmp_path, content, message):
    path = resolve(source, None, tmp_path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path}: {message}.*delete it and fetch it again"):
        resolve(source, None, tmp_path)
    assert fetch(source, path.parent).read_bytes() == CONTENT


def test_pinned_hash(pinned, tmp_path):
    path = resolve(pinned, None, tmp_path / "good")
    assert check(pinned, path) == "pinned"
    assert left(tmp_path / "good") == [NAME]
    other = WeightSource(**vars(pinned) | {"sha256": "0" * 64})
    with pytest.raises(InputError, match=rf"expected SHA-256 0{{64}}, found {SHA256}, 2 times"):
        resolve(other, None, tmp_path / "bad")
    assert left(tmp_path / "bad") == []


def test_published_md5(source, tmp_path):
    wrong = WeightSource(**vars(source) | {"md5": "0" * 32})
    with pytest.raises(InputError, match=r"expected MD5 0{32}, found [0-9a-f]{32}, 2 times"):
        resolve(wrong, None, tmp_path)


def test_users_own_file_wins_whatever_it_holds(pinned, site, tmp_path):
    own = tmp_path / "mine.h5"
    own.write_bytes(b"x")
    assert resolve(pinned, own, tmp_path) == own
    assert site.asked == []


def test_users_own_file_is_missing(source, tmp_path):
    with pytest.raises(InputError, match=r"gone\.h5: no such file; --weights must name a file of YAMNet weights"):
        resolve(source, tmp_path / "gone.h5", tmp_path)


def test_folder_of_weights(source, site, tmp_path):
    stick = tmp_path / "stick"
    fetch(source, stick)
    site.url = ""
    assert resolve(source, stick, tmp_path) == stick / NAME
    (stick / NAME).write_bytes(CONTENT[:-5])
    with pytest.raises(InputError, match=r"expected 2056 bytes, found 2051 \(recorded on"):
        resolve(source, stick, tmp_path)
    assert len(site.asked) == 1


def test_write_protected_folder_without_a_record(source, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert resolve(source, tmp_path, tmp_path) == tmp_path / NAME
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_folder_without_the_file(source, site, tmp_path):
    with pytest.raises(InputError, match=r"holds no yamnet\.h5; .*encoders fetch NAME --to FOLDER"):
        resolve(source, tmp_path, tmp_path)
    assert site.asked == []


def test_folder_of_the_environment(source, site, tmp_path, monkeypatch):
    stick = tmp_path / "stick"
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(stick))
    assert locate(source, None, tmp_path) == tmp_path / "weights" / NAME
    fetch(source, stick)
    assert resolve(source, None, tmp_path) == stick / NAME


def test_record_that_cannot_be_read(source, tmp_path):
    resolve(source, None, tmp_path)
    (tmp_path / "weights" / "yamnet.h5.json").write_text("{")
    with pytest.raises(InputError, match=r"yamnet\.h5\.json: expected a record"):
        resolve(source, None, tmp_path)


def test_cache_folder_is_a_file(source, tmp_path):
    (tmp_path / "weights").touch()
    with pytest.raises(InputError, match=r"cannot be read or kept there .*cache-dir"):
        resolve(source, None, tmp_path)


DOUBT = "weights from yamnet.h5, digest 0123456789ab"


def test_published_file_needs_no_remark(pinned, site, tmp_path):
    by_md5 = WeightSource(**vars(pinned) | {"sha256": None, "md5": hashlib.md5(CONTENT).hexdigest()})
    path = resolve(pinned, None, tmp_path)
    assert provenance(pinned, path, "0123456789abcdef") == DOUBT
    assert provenance(by_md5, path, "0123456789abcdef") == DOUBT


def test_another_file_than_the_published_one_is_called_so(pinned, tmp_path):
    by_md5 = WeightSource(**vars(pinned) | {"sha256": None, "md5": hashlib.md5(CONTENT).hexdigest()})
    path = tmp_path / NAME
    path.write_bytes(CONTENT + b"!")
    assert provenance(pinned, path, "0123456789ab") == f"{DOUBT}: not the published file"
    assert provenance(by_md5, path, "0123456789ab") == f"{DOUBT}: not the published file"


def test_where_no_hash_is_published_only_the_download_speaks_for_a_file(source, tmp_path):
    path = resolve(source, None, tmp_path)
    assert provenance(source, path, "0123456789ab").endswith(": as downloaded; no hash of the published file is known")
    unverified = f"{DOUBT}: not verified, since no hash of the published file is known"
    path.write_bytes(CONTENT + b"!")
    assert provenance(source, path, "0123456789ab") == unverified
    (tmp_path / NAME).write_bytes(CONTENT)
    assert provenance(source, tmp_path / NAME, "0123456789ab") == unverified
