"""Fixtures that every test may ask for: machines, and a server on loopback that does wrong what servers do wrong.

What the tests of whole runs and of the command line share.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import signal
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import soundfile

from collab_asd.core import progress
from collab_asd.core import transfer as fetch
from collab_asd.core import transfer as http
from collab_asd.core.progress import ROOMS
from collab_asd.core.transfer import RemoteFile

hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts with & ignore Ctrl-C
RATE = 16000
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests, so that no worker is left with a long one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package of one module and its entry points on the path, as pip would."""

    def installed(group: str, package: str, code: str, entries: dict[str, str]) -> None:
        folder = tmp_path / "site" / package
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{package}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, package, raising=False)

    return installed


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real recordings, weights and reference outputs that lie beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: real recordings, weights and reference outputs are not redistributed")
    return SHARED


def write_machine(folder, machine, pitch, seed, train=12, test=6, seconds=4.0):
    """A humming machine; its anomalies whistle as well."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    for split, label, count in (("train", "normal", train), ("test", "normal", test), ("test", "anomaly", test)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            sound = 0.1 * np.sin(2 * np.pi * pitch * (1 + 0.01 * rng.normal()) * time) + 0.02 * rng.normal(
                size=len(time)
            )
            if label == "anomaly":
                sound += 0.05 * np.sin(2 * np.pi * 3000 * time)
            soundfile.write(folder / split / f"{label}_id_{machine}_{i:08d}.wav", sound, RATE, subtype="PCM_16")


@pytest.fixture(scope="session")
def machines(tmp_path_factory):
    """Three machines of one type, in the DCASE layout."""
    folder = tmp_path_factory.mktemp("machines")
    for i, pitch in enumerate((200, 320, 510)):
        write_machine(folder / "fan", f"{i:02d}", pitch, seed=i)
    return folder


@pytest.fixture(scope="session")
def larger_machines(tmp_path_factory):
    """Three machines of one type with clips for two clients each: 24 to train on, 8 normal and 8 faulty to test."""
    folder = tmp_path_factory.mktemp("larger")
    for i, pitch in enumerate((200, 320, 510)):
        write_machine(folder / "fan", f"{i:02d}", pitch, seed=10 + i, train=24, test=8)
    return folder


@pytest.fixture(scope="session")
def many_machines(tmp_path_factory):
    """Four machines of one type."""
    folder = tmp_path_factory.mktemp("many")
    for i, pitch in enumerate((200, 320, 510, 760)):
        write_machine(folder / "fan", f"{i:02d}", pitch, seed=20 + i)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One cache for all runs of a test session."""
    return tmp_path_factory.mktemp("cache")


RECORDS = {  # of zips by name, or by its beginning
    "dev_data": 3678171,
    "eval_data_train": 3727685,
    "eval_data_test": 3841772,
    "dev": 15097779,
    "eval_data_ToyPet_train.zip": 15392814,
    "eval_data_ToyPet_test.zip": 15519362,
}


@dataclass
class Fault:
    """How one answer to a request for a file goes wrong."""

    status: int = 200
    breaks_at: int | None = None
    ignores_range: bool = False
    gives_range_from: int | None = None
    content: bytes | None = None
    promises: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """Files, what goes wrong with the next requests for them (``always``: with all), and what was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    record_status: int = 200
    record_body: bytes | None = None
    wrong_md5: bool = False
    records_asked: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def entry(self, name: str) -> dict:
        content = b"another" if self.wrong_md5 else self.files[name]
        links = {"self": f"{self.url}/files/{name}"}
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        return {"id": "x", "key": name, "size": len(self.files[name]), "checksum": checksum, "links": links}

    def remote(self, name: str) -> RemoteFile:
        md5 = self.entry(name)["checksum"].removeprefix("md5:")
        return RemoteFile(name, f"{self.url}/files/{name}", len(self.files[name]), md5)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        if self.path.startswith("/api/records/"):
            self.answer_record(int(self.path.rsplit("/", 1)[1]))
        else:
            self.answer_file(self.path.rsplit("/", 1)[1])

    def answer_record(self, number: int) -> None:
        self.site.records_asked += 1
        files = self.site.files
        names = [name for name in files if RECORDS.get(name, RECORDS.get(name.rsplit("_", 1)[0])) == number]
        body = json.dumps({"id": number, "files": [self.site.entry(name) for name in names]}).encode()
        self.send(self.site.record_status, self.site.record_body or body)

    def answer_file(self, name: str) -> None:
        wanted = self.headers.get("Range")
        self.site.asked.append((name, wanted))
        fault = self.site.always or (self.site.faults.pop(0) if self.site.faults else Fault())
        body = self.site.files[name] if fault.content is None else fault.content
        if fault.status != 200:
            self.send(fault.status, b"", fault)
        elif wanted is None or fault.ignores_range:
            self.send(200, body, fault)
        else:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send(416, b"", fault)
                return
            given = start if fault.gives_range_from is None else fault.gives_range_from
            fault.headers["Content-Range"] = f"bytes {given}-{len(body) - 1}/{len(body)}"
            self.send(206, body[given:], fault)

    def send(self, status: int, body: bytes, fault: Fault | None = None) -> None:
        fault = fault or Fault()
        self.send_response(status)
        for key, value in fault.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if fault.promises is None else fault.promises))
        self.end_headers()
        self.wfile.write(body[: fault.breaks_at])

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def site(monkeypatch) -> Iterator[Site]:
    """A server that nothing is wrong with, yet; the client waits for nobody."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(http, "PAUSE", 0.0)
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0)
    site = Site()
    handler = type("SiteHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def small_chunks(monkeypatch) -> None:
    """Write what comes at once, so that what came before a break is on the disk."""
    monkeypatch.setattr(fetch, "CHUNK", 100)


@pytest.fixture
def on_advance(monkeypatch):
    """Have a function called with the name and the amount, in place of what reports each part of all steps to come."""

    def have_called(function) -> None:
        monkeypatch.setattr(progress.Step, "advance", lambda step, amount=1: function(step.what, amount))

    return have_called


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, as noisy recordings hardly do."""
    return np.random.default_rng(seed).bytes(size)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


@pytest.fixture(name="noise")
def noise_fixture():
    return noise


@pytest.fixture(name="zipped")
def zipped_fixture():
    return zipped


@pytest.fixture(name="Fault")
def fault_fixture():
    return Fault


@pytest.fixture
def fresh_process(monkeypatch):
    """As if nobody had called `show_progress` in this process, and as if nobody had afterwards."""
    monkeypatch.setattr(progress, "_display", progress.Display())
    loggers = [logging.getLogger(room) for room in ROOMS]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def listing():
    """Writes a CSV of recordings, with the type of each machine; an empty one leaves it out."""

    def write(folder, file, type_of):
        with file.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["path", "machine_type", "machine_id", "split", "label"])
            for path in sorted(folder.glob("fan/*/*.wav")):
                label, _, machine, _ = path.stem.split("_")
                if machine_type := type_of(int(machine)):
                    writer.writerow([path, machine_type, machine, path.parent.name, int(label == "anomaly")])
        return file

    return write


@pytest.fixture(scope="session")
def scores_of():
    """Reads score and threshold of each clip of a result folder."""

    def read(folder):
        with (folder / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["clip"].rpartition("/")[2]: (row["anomaly_score"], row["threshold"]) for row in rows}

    return read
