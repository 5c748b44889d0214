"""Downloads from a server on loopback."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from collab_asd.encoders.weights import WeightSource, resolve
from collab_asd.errors import InputError

CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8


@dataclass
class Answer:
    """What the server gives next, and how often it was asked."""

    body: bytes = CONTENT
    status: int = 200
    promised: int | None = None
    requests: int = 0
    url: str = field(default="", init=False)

    def source(self, sha256: str | None = None) -> WeightSource:
        return WeightSource("YAMNet", self.url, "yamnet.h5", "Apache-2.0", "nobody, 2019", sha256)


@pytest.fixture
def answer() -> Iterator[Answer]:
    answer = Answer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.requests += 1
            self.send_response(answer.status)
            self.send_header("Content-Length", str(answer.promised or len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answer.url = f"http://127.0.0.1:{server.server_port}/yamnet.h5"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield answer
        server.shutdown()
        thread.join()


def leftovers(folder) -> list[str]:
    """Files that a failed download leaves, but for the lock."""
    return sorted(p.name for p in (folder / "weights").iterdir() if not p.name.endswith(".lock"))


def test_first_download_is_kept_and_recorded(answer, tmp_path):
    path = resolve(answer.source(), None, tmp_path)
    assert path == tmp_path / "weights" / "yamnet.h5"
    assert path.read_bytes() == CONTENT
    record = json.loads((tmp_path / "weights" / "yamnet.h5.json").read_text())
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert record["size"] == 8 + 2048
    assert record["url"] == answer.url
    assert leftovers(tmp_path) == ["yamnet.h5", "yamnet.h5.json"]


def test_second_use_asks_nobody(answer, tmp_path):
    resolve(answer.source(), None, tmp_path)
    resolve(answer.source(), None, tmp_path)
    assert answer.requests == 1


def test_users_own_file_wins(answer, tmp_path):
    own = tmp_path / "mine.h5"
    own.write_bytes(b"x")
    assert resolve(answer.source(), own, tmp_path) == own
    assert answer.requests == 0


def test_users_own_file_is_missing(answer, tmp_path):
    with pytest.raises(InputError, match=r"gone\.h5: no such file; --weights must name a file of YAMNet weights"):
        resolve(answer.source(), tmp_path / "gone.h5", tmp_path)


def test_not_found_on_the_server(answer, tmp_path):
    answer.status = 404
    with pytest.raises(InputError, match=rf"{answer.url}: download failed \(HTTP Error 404.*by hand.*--weights"):
        resolve(answer.source(), None, tmp_path)
    assert leftovers(tmp_path) == []


def test_nobody_answers(tmp_path):
    source = WeightSource("YAMNet", "http://127.0.0.1:1/yamnet.h5", "yamnet.h5", "Apache-2.0", "nobody, 2019")
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:1/yamnet\.h5: download failed .*refused.*--weights"):
        resolve(source, None, tmp_path)


def test_truncated_download(answer, tmp_path):
    answer.promised = len(CONTENT) + 500
    with pytest.raises(InputError, match="truncated: expected 2556 bytes, found 2056"):
        resolve(answer.source(), None, tmp_path)
    assert leftovers(tmp_path) == []


def test_web_page_instead_of_weights(answer, tmp_path):
    answer.body = b"<html><body>Please log in</body></html>"
    with pytest.raises(InputError, match=r"expected a \.h5 file, found one that begins with b'<html>.*login page"):
        resolve(answer.source(), None, tmp_path)
    assert leftovers(tmp_path) == []


def test_server_gives_another_file_the_second_time(answer, tmp_path):
    resolve(answer.source(), None, tmp_path).unlink()
    answer.body = CONTENT + b"!"
    was, now = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(CONTENT + b"!").hexdigest()
    with pytest.raises(InputError, match=rf"yamnet\.h5: expected SHA-256 {was} \(recorded on .*found {now}; .*delete"):
        resolve(answer.source(), None, tmp_path)
    assert leftovers(tmp_path) == ["yamnet.h5.json"]


def test_file_in_the_cache_was_changed(answer, tmp_path):
    path = resolve(answer.source(), None, tmp_path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=r"expected SHA-256 .* found"):
        resolve(answer.source(), None, tmp_path)


def test_published_hash(answer, tmp_path):
    good = answer.source(hashlib.sha256(CONTENT).hexdigest())
    assert resolve(good, None, tmp_path / "good").read_bytes() == CONTENT
    with pytest.raises(InputError, match=r"expected SHA-256 0{64} \(published\)"):
        resolve(answer.source("0" * 64), None, tmp_path / "bad")
    assert leftovers(tmp_path / "bad") == []


def test_record_that_cannot_be_read(answer, tmp_path):
    resolve(answer.source(), None, tmp_path)
    (tmp_path / "weights" / "yamnet.h5.json").write_text("{")
    with pytest.raises(InputError, match=r"yamnet\.h5\.json: expected a record"):
        resolve(answer.source(), None, tmp_path)


def test_cache_folder_is_a_file(answer, tmp_path):
    (tmp_path / "weights").touch()
    with pytest.raises(InputError, match=r"cannot be kept there .*cache-dir"):
        resolve(answer.source(), None, tmp_path)
