"""What strangers without a key can do to a server, and what honest nodes notice of it.

    python benchmarks/strangers.py CONSORTIUM [--seconds 30] [--address 127.0.0.2] [--attack idle …]

CONSORTIUM is a folder that ``collab-asd deploy init`` made for this machine (``--host 127.0.0.1``); its server is
started and stopped here. While strangers attack from `--address`, a node sends heartbeats, each over a new connection,
as it would after a fault. The table has one row per attack: honest requests, how many failed, their latency, resident
memory of the SuperLink and its open descriptors, and what the strangers sent before they were shut out.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import httpx
import psutil
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from rich.console import Console
from rich.table import Table

from collab_asd.deployment.certificates import load_node_key
from collab_asd.deployment.processes import is_open, stop
from collab_asd.deployment.settings import ServerSettings

MEDIA = {"content-type": "application/protobuf", "accept": "application/protobuf"}
PUSH = b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: x\r\nContent-Type: application/protobuf\r\n"
Open = Callable[[bool], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass
class Target:
    """Whom strangers attack, from where, and how many bytes they got rid of."""

    port: int
    authority: str
    address: str
    sent: Synchronized  # type: ignore[type-arg]

    def __post_init__(self) -> None:
        self.context = ssl.create_default_context(cafile=self.authority)

    async def open(self, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect."""
        context = self.context if tls else None
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, local_addr=(self.address, 0))

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send, and count what was sent."""
        writer.write(data)
        await writer.drain()
        with self.sent.get_lock():
            self.sent.value += len(data)


async def idle_tcp(target: Target) -> None:
    """1,100 connections that never begin TLS."""
    await _hold(target, 1100, tls=False)


async def idle_tls(target: Target) -> None:
    """1,100 connections that begin TLS, and then say nothing."""
    await _hold(target, 1100, tls=True)


async def _hold(target: Target, count: int, tls: bool) -> None:
    held = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    while True:
        wanted = min(50, count - len(held))
        opened = await asyncio.gather(*(target.open(tls) for _ in range(wanted)), return_exceptions=True)
        held += [pair for pair in opened if isinstance(pair, tuple)]
        held = [(reader, writer) for reader, writer in held if not reader.at_eof()]
        await asyncio.sleep(0 if len(held) < count else 0.5)


async def long_header(target: Target) -> None:
    """One connection whose header has no end, begun again whenever it is shut."""
    while True:
        with suppress(OSError, ssl.SSLError):
            _, writer = await target.open()
            await target.send(writer, b"POST /v1/fleet/pull-messages HTTP/1.1\r\n")
            while True:
                await target.send(writer, b"x-fill: " + bytes(65_536).replace(b"\0", b"a") + b"\r\n")
        await asyncio.sleep(0.05)


async def slow_bodies(target: Target) -> None:
    """40 requests of 32 MB, of which all but the last byte comes at once, and the last never."""
    await asyncio.gather(*(_slow_body(target) for _ in range(40)))


async def _slow_body(target: Target) -> None:
    size = 32 * 2**20
    while True:
        with suppress(OSError, ssl.SSLError):
            reader, writer = await target.open()
            await target.send(writer, PUSH + f"Content-Length: {size}\r\n\r\n".encode())
            for _ in range(size // 65_536 - 1):
                await target.send(writer, bytes(65_536))
            await reader.read()
        await asyncio.sleep(0.05)


async def trickle(target: Target) -> None:
    """400 requests whose header comes one byte a second."""
    await asyncio.gather(*(_trickle(target) for _ in range(400)))


async def _trickle(target: Target) -> None:
    while True:
        with suppress(OSError, ssl.SSLError):
            _, writer = await target.open()
            for byte in PUSH * 100:
                await target.send(writer, bytes([byte]))
                await asyncio.sleep(1)
        await asyncio.sleep(0.05)


async def handshakes(target: Target) -> None:
    """TLS begun and dropped as fast as one core can."""
    await asyncio.gather(*(_handshakes(target) for _ in range(8)))


async def _handshakes(target: Target) -> None:
    while True:
        with suppress(OSError, ssl.SSLError):
            _, writer = await target.open()
            writer.close()


async def requests(target: Target) -> None:
    """Send requests with a signature by nobody's key, as fast as one core can."""
    await asyncio.gather(*(_requests(target) for _ in range(8)))


async def _requests(target: Target) -> None:
    while True:
        with suppress(OSError, ssl.SSLError):
            reader, writer = await target.open()
            for _ in range(100):
                await target.send(writer, PUSH + b"flwr-signature: AAAA\r\nContent-Length: 0\r\n\r\n")
                if not await reader.read(65_536):
                    break
            writer.close()


async def nothing(target: Target) -> None:
    """No attack."""


ATTACKS = (nothing, idle_tcp, idle_tls, trickle, long_header, slow_bodies, handshakes, requests)


@dataclass
class Honest:
    """One node's heartbeats: each over a new connection."""

    server: ServerSettings
    key_file: Path
    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = load_node_key(self.key_file)
        self.context = ssl.create_default_context(cafile=self.server.folder / "ca.crt")
        public = public_key_to_bytes(self.key.public_key())
        request = ActivateNodeRequest(public_key=public, heartbeat_interval=30)
        self.node = Node(node_id=ActivateNodeResponse.FromString(self.insist(request)).node_id)

    def insist(self, request: ActivateNodeRequest) -> bytes:
        """Ask until the key is registered, and the node of the row before counts as gone."""
        while True:
            with suppress(httpx.HTTPError):
                return self.ask("/v1/fleet/activate-node", request).content
            time.sleep(2)

    def ask(self, path: str, message: object) -> httpx.Response:
        """Send one signed request over a new connection."""
        with httpx.Client(verify=self.context, timeout=10) as client:
            url = f"https://127.0.0.1:{self.server.port}{path}"
            request = client.build_request("POST", url, content=message.SerializeToString(), headers=MEDIA)  # type: ignore[attr-defined]
            NodeAuthHttpInterceptor(self.key, self.key.public_key()).intercept(
                ProtobufRequestContext("", message, request),
                lambda _: httpx.Response(200),
            )
            answer = client.send(request)
            answer.raise_for_status()
            return answer

    def beat(self) -> None:
        """Send one heartbeat, and write down how that went."""
        begun = time.monotonic()
        try:
            self.ask("/v1/fleet/send-node-heartbeat", SendNodeHeartbeatRequest(node=self.node, heartbeat_interval=30))
        except httpx.HTTPError as error:
            self.failed.append(f"{type(error).__name__} {error}")
        self.seconds.append(time.monotonic() - begun)


def attack(name: str, target: Target) -> None:
    """Run one attack in a process of its own, until it is killed."""
    asyncio.run({each.__name__: each for each in ATTACKS}[name](target))


@contextmanager
def server_running(server: ServerSettings, log: Path) -> Iterator[psutil.Process]:
    """Keep the server of a consortium up; gives the SuperLink's process."""
    with log.open("ab") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "collab_asd.cli.main", "deploy", "server", str(server.folder)],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        found = list[psutil.Process]()
        while not (found and is_open("127.0.0.1", server.port)):
            time.sleep(0.5)
            children = psutil.Process(keeper.pid).children(recursive=True)
            with suppress(psutil.Error):  # one that has just ended
                found = [child for child in children if "collab_asd.deployment.superlink" in child.cmdline()]
        yield found[0]
    finally:
        stop(keeper)


def measure(each: Callable[[Target], Awaitable[None]], arguments: argparse.Namespace, log: Path) -> list[str]:
    """One row of the table."""
    server = ServerSettings.load(arguments.consortium / "server")
    with server_running(server, log) as superlink:
        honest = Honest(server, arguments.consortium / "client-0" / "node.key")
        sent: Synchronized = multiprocessing.Value("q", 0)  # type: ignore[type-arg]
        target = Target(server.port, str(server.folder / "ca.crt"), arguments.address, sent)
        attacker = multiprocessing.Process(target=attack, args=(each.__name__, target), daemon=True)
        attacker.start()
        memory, connections = [], []
        try:
            deadline = time.monotonic() + arguments.seconds
            while time.monotonic() < deadline:
                honest.beat()
                memory.append(superlink.memory_info().rss / 1e6)
                connections.append(superlink.num_fds())
                time.sleep(0.25)
        finally:
            attacker.kill()
            attacker.join()
    well = sorted(honest.seconds)
    print(f"{each.__name__}: {sorted(set(honest.failed))}", file=sys.stderr)
    return [
        f"{each.__name__}: {each.__doc__}",
        str(len(well)),
        str(len(honest.failed)),
        f"{1000 * statistics.median(well):.0f}",
        f"{1000 * well[int(0.95 * (len(well) - 1))]:.0f}",
        f"{1000 * well[-1]:.0f}",
        f"{memory[0]:.0f} -> {max(memory):.0f}",
        str(max(connections)),
        f"{sent.value / 1e6:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("consortium", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument(
        "--address", default="127.0.0.2", help="where strangers come from: of this machine, so 127.x.x.x"
    )
    parser.add_argument("--attack", action="append", choices=[each.__name__ for each in ATTACKS], default=[])
    parser.add_argument("--log", type=Path, default=Path("strangers.log"))
    arguments = parser.parse_args()
    columns = "requests", "failed", "median ms", "95 % ms", "worst ms", "memory MB", "descriptors", "sent MB"
    for each in ATTACKS:
        if each.__name__ in (arguments.attack or [one.__name__ for one in ATTACKS]):
            table = Table("attack", *columns)
            table.add_row(*measure(each, arguments, arguments.log))
            Console(width=150).print(table)


if __name__ == "__main__":
    main()
