"""A consortium of real processes on loopback, whose clients speak to its server through one who listens."""

import asyncio
import csv
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import soundfile

from collab_asd.config import RunConfig
from collab_asd.deployment.certificates import make_authority, make_server_certificate
from collab_asd.deployment.consortium import FIRST_NODE_PORT, Consortium
from collab_asd.deployment.local import client_folders, consortium_running
from collab_asd.deployment.run import run
from collab_asd.deployment.settings import NODE, ServerSettings

RATE = 16000
TYPE, WORD = "SecretPump", "quietnight"


@dataclass
class Listener:
    """Ends TLS with a certificate of its own, writes down what is inside, and hands it on where it has where to."""

    heard: dict[str, bytearray] = field(default_factory=lambda: {"up": bytearray(), "down": bytearray()})
    connections: int = 0

    async def serve(self, host, port, folder, upstream=None):
        inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        inside.load_cert_chain(folder / "server.crt", folder / "server.key")

        async def meet(reader, writer):
            self.connections += 1
            if upstream is None:
                self.heard["up"] += await reader.read()
            else:
                outside = ssl.create_default_context(cafile=folder / "ca.crt")
                their_reader, their_writer = await asyncio.open_connection("127.0.0.1", upstream, ssl=outside)
                await asyncio.gather(self.pump("up", reader, their_writer), self.pump("down", their_reader, writer))
            writer.close()

        return await asyncio.start_server(meet, host, port, ssl=inside)

    async def pump(self, way, reader, writer):
        try:
            while data := await reader.read(65536):
                self.heard[way] += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@contextmanager
def listening(*arguments):
    """Keep a listener running in a thread."""
    listener, loop = Listener(), asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # handshakes that clients refuse are what this is for
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    async def end():
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = call(listener.serve(*arguments))
    try:
        yield listener
    finally:
        call(end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass
class Running:
    """The consortium, and what was heard of its one run."""

    folder: object
    server: ServerSettings
    results: object
    heard: dict[str, bytes]

    def log(self, party):
        return (self.folder / party / "state" / "log.txt").read_text(errors="replace")


def write_recordings(folder, pitch):
    """One machine, whose names would be easy to find; its labels stand in the table alone."""
    rng = np.random.default_rng(int(pitch))
    time = np.arange(4 * RATE) / RATE
    folder.mkdir(parents=True)
    with (folder / "recordings.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "machine_type", "machine_id", "split", "label"])
        for i in range(16):
            sound = 0.1 * np.sin(2 * np.pi * pitch * time) + 0.02 * rng.normal(size=len(time))
            name = f"{WORD}-{i:02d}.wav"
            soundfile.write(folder / name, sound, RATE, subtype="PCM_16")
            rows.writerow([name, TYPE, f"Hall{pitch}", "train" if i < 12 else "test", 0 if i < 14 else 1])


@pytest.fixture(scope="module")
def consortium(tmp_path_factory):
    """Two clients and a server: their one run is over, and they are still up."""
    folder = tmp_path_factory.mktemp("deployment") / "consortium"
    port, door, *own = free_ports(4)
    Consortium(2, ["127.0.0.1"], RunConfig(page_megabytes=1000.0), port).write(folder)
    for client, (path, own_port) in enumerate(zip(client_folders(folder), own, strict=True)):
        write_recordings(path / "recordings", 200 + 120 * client)
        changes = {
            'data-dir = ""': 'data-dir = "recordings/recordings.csv"',
            f'superlink = "127.0.0.1:{port}"': f'superlink = "127.0.0.1:{door}"',
            f"port = {FIRST_NODE_PORT + client}": f"port = {own_port}",
        }
        text = (path / NODE).read_text()
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        (path / NODE).write_text(text)
    with listening("127.0.0.1", door, folder / "server", port) as listener, consortium_running(folder) as server:
        results = run(server, None, {"epochs": 1}, lambda line: None)
        yield Running(folder, server, results, {way: bytes(heard) for way, heard in listener.heard.items()})


@pytest.fixture(scope="module")
def impostor(consortium, tmp_path_factory):
    """Makes a server that has not the consortium's certificate, but one that is nearly right."""

    def make(days, authority=None):
        folder = tmp_path_factory.mktemp("impostor")
        if authority is None:
            authority = consortium.folder / "authority"
        else:
            make_authority(folder, "collab-asd consortium")
            authority = folder
        make_server_certificate(authority, folder, ["127.0.0.1"], days)
        return folder

    return make


@pytest.fixture(name="listening", scope="session")
def listening_fixture():
    return listening


@pytest.fixture(name="free_ports", scope="session")
def free_ports_fixture():
    return free_ports
