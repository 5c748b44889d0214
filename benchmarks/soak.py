"""A deployment under faults at random moments, run after run.

Do runs complete, are scores equal, is memory flat?

    python benchmarks/soak.py FOLDER [--minutes 120] [--clients 4] [--seed 7] [--pause 25]

Makes a consortium of synthetic machines in FOLDER, runs once without faults, and then again and again while one fault
after another is done to it, in an order drawn by the seed, all of them before any comes again:

- killed (``kill -9``): a SuperNode, its executor, a task of that, the SuperLink, a ServerApp, a `run.sh`, or what keeps
  a node running, which is then started again, as systemd would;
- stopped for up to 70 s (``kill -STOP``, then ``-CONT``): a SuperNode, its executor, the SuperLink;
- the way of one node to the server, through a proxy of this script: cut for up to 40 s, slow, all connections dropped
  at once, or a hole into which they fall without an answer;
- a full disk at one node for up to 40 s: none of its processes can write more than 64 kB into a file.

The clock is not set back, which would be everybody's on this machine: that no process judges another by the time of day
is held by tests. Exit code 0: every run was completed, by all clients, and each clip's score is that of the first run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import psutil

from collab_asd.config import RunConfig
from collab_asd.core.processes import with_descendants
from collab_asd.deployment.consortium import PAGE_MEGABYTES, Consortium
from collab_asd.deployment.flower import node_states
from collab_asd.deployment.local import ONLINE, client_folders, client_results, compare_scores, give_recordings
from collab_asd.deployment.processes import STATE, environment, is_open, start, stop
from collab_asd.deployment.settings import NODE, ServerSettings

RUN_SECONDS = 1800.0
"""A run that takes longer counts as one that hangs: machines that others use take minutes for one."""
BACK_SECONDS = 480.0
LONGEST_STOP, LONGEST_CUT, LONGEST_FULL = 70.0, 40.0, 40.0
SLOW_BYTES, SLOW_SECONDS = 16_384, 0.2
FULL_BYTES = 65_536


def say(*words: object) -> None:
    """Print with the time."""
    print(f"{datetime.now():%H:%M:%S}", *words, flush=True)


class Proxy:
    """The way of one node to the server; what `mode` says happens to it.

    Parameters
    ----------
    port : int
        Of the server.
    """

    def __init__(self, port: int) -> None:
        self.mode, self._port = "open", port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._call(asyncio.start_server(self._meet, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _call(self, coroutine):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def drop(self) -> None:
        """End all connections at once."""
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in list(self._writers)])

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while self.mode == "hole":
                await asyncio.sleep(0.2)
            if self.mode == "cut":
                return
            theirs, their_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers.add(their_writer)
            await asyncio.gather(self._pump(reader, their_writer), self._pump(theirs, writer))
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(SLOW_BYTES):
                while self.mode == "hole":
                    await asyncio.sleep(0.2)
                if self.mode == "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.transport.abort()
        self._writers.discard(writer)


@dataclass
class Party:
    """A server or node: what keeps it running is started again when it ends, as systemd does."""

    folder: Path
    command: str
    process: subprocess.Popen[bytes] | None = None
    ending: bool = False

    def begin(self) -> None:
        """Start it."""
        (self.folder / STATE).mkdir(parents=True, exist_ok=True)
        with (self.folder / STATE / "log.txt").open("ab") as log:
            words = [sys.executable, "-m", "collab_asd.cli.main", "deploy", self.command, str(self.folder)]
            self.process = start(words, self.folder, environment(self.folder), log)

    def keep(self) -> None:
        """Start it again if it has ended."""
        if self.process is not None and self.process.poll() is not None and not self.ending:
            stop(self.process)
            say(f"{self.folder.name}: what keeps it running ended with code {self.process.returncode}; started again")
            self.begin()

    def processes(self, word: str = "") -> list[psutil.Process]:
        """All of its processes, or those whose command holds a word."""
        if self.process is None:
            return []
        found = with_descendants([psutil.Process(self.process.pid)])
        return [each for each in found if word in _command(each)]

    def memory(self, word: str = "") -> float:
        """Resident, MB, of all of its processes, or of those whose command holds a word."""
        sizes = []
        for process in self.processes(word):
            with suppress(psutil.Error):
                sizes.append(process.memory_info().rss / 1e6)
        return sum(sizes)

    def descriptors(self) -> int:
        """Open files of all of its processes."""
        numbers = []
        for process in self.processes():
            with suppress(psutil.Error):
                numbers.append(process.num_fds())
        return sum(numbers)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@dataclass
class Soak:
    """The consortium, and what is done to it."""

    folder: Path
    draw: random.Random
    pause: float
    server: Party = field(init=False)
    nodes: list[Party] = field(init=False)
    proxies: list[Proxy] = field(init=False)
    over: threading.Event = field(default_factory=threading.Event)
    calm: threading.Lock = field(default_factory=threading.Lock)
    done: dict[str, int] = field(default_factory=dict)
    run: subprocess.Popen[bytes] | None = None

    def set_up(self, clients: int) -> None:
        """Write the folders, with a proxy before each node."""
        port, *own = free_ports(clients + 1)
        config = RunConfig(page_megabytes=PAGE_MEGABYTES, epochs=2, min_clients=clients)
        Consortium(clients, ["127.0.0.1"], config, port).write(self.folder)
        give_recordings(self.folder, "")
        self.server = Party(self.folder / "server", "server")
        self.nodes = [Party(folder, "node") for folder in client_folders(self.folder)]
        self.proxies = [Proxy(port) for _ in self.nodes]
        for node, proxy, own_port in zip(self.nodes, self.proxies, own, strict=True):
            lines = (node.folder / NODE).read_text("utf-8").splitlines()
            changed = {"superlink": f'"127.0.0.1:{proxy.port}"', "port": str(own_port)}
            names = [line.partition(" = ")[0] for line in lines]
            lines = [f"{n} = {changed[n]}" if n in changed else line for n, line in zip(names, lines, strict=True)]
            (node.folder / NODE).write_text("\n".join(lines) + "\n", encoding="utf-8")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep all parties up, as an operating system would."""
        parties = [self.server, *self.nodes]

        def keep() -> None:
            while not closing.wait(3):
                for party in parties:
                    party.keep()

        closing = threading.Event()  # what this thread has started ends with it
        keeper = threading.Thread(target=keep)
        try:
            self.server.begin()
            self.wait(lambda: is_open("127.0.0.1", self.settings.port), "the SuperLink")
            for node in self.nodes:
                node.begin()
            keeper.start()
            yield
        finally:
            self.over.set()
            for party in parties:
                party.ending = True
            closing.set()
            if keeper.is_alive():
                keeper.join()
            stop(*(party.process for party in parties if party.process is not None))

    def lasting(self) -> dict[str, float]:
        """Resident, MB, of what runs from one run to the next: a task or ServerApp that is at work is none of it."""
        nodes = [
            sum(node.memory(word) for word in ("deployment.supernode", "deployment.executor")) for node in self.nodes
        ]
        return {"SuperLink and gate": self.server.memory("deployment.superlink")} | {
            node.folder.name: size for node, size in zip(self.nodes, nodes, strict=True)
        }

    @property
    def settings(self) -> ServerSettings:
        """The server's."""
        return ServerSettings.load(self.folder / "server")

    def wait(self, ready: Callable[[], bool], what: str, seconds: float = BACK_SECONDS) -> float:
        """Wait for something; how long it took. Raises if it does not come."""
        begun = time.monotonic()
        while not ready():
            if time.monotonic() - begun > seconds:
                raise SystemExit(f"{what}: not there after {seconds:.0f} s")
            time.sleep(2)
        return time.monotonic() - begun

    def all_online(self) -> bool:
        """Whether the server says so."""
        with suppress(Exception):
            states = node_states(self.settings)
            return len(states) == len(self.nodes) and set(states.values()) == {ONLINE}
        return False

    def one_run(self, number: int) -> Path:
        """Run until the result is there; a `run.sh` that was killed is started again with the same folder."""
        out = self.folder / "server" / "results" / f"soak-{number}"
        words = [sys.executable, "-m", "collab_asd.cli.main", "deploy", "run", str(self.folder / "server")]
        deadline, tries = time.monotonic() + RUN_SECONDS, 0
        words += ["--set", f"min-clients={len(self.nodes)}"]
        with (self.folder / "runs.log").open("ab") as log:
            while not (out / "summary.json").exists():
                tries += 1
                if time.monotonic() > deadline or tries > 6:
                    raise SystemExit(f"run {number} was not completed; {self.folder / 'runs.log'} says why")
                self.run = subprocess.Popen([*words, "--out", str(out)], stdout=log, stderr=subprocess.STDOUT)
                while self.run.poll() is None:
                    if time.monotonic() > deadline:
                        self.run.kill()
                    time.sleep(0.5)
                if self.run.returncode not in (0, -signal.SIGKILL):
                    say(f"run {number}: run.sh ended with code {self.run.returncode}; it is started again")
        self.run = None
        return out

    # faults

    def faults(self) -> dict[str, Callable[[], str]]:
        """Everything that may be done, by name."""
        words = {"SuperNode": "deployment.supernode", "executor": "deployment.executor"}
        kills = {f"kill a {name}": partial(self.kill, word) for name, word in (words | {"task": "forkserver"}).items()}
        stops = {f"stop a {name}": partial(self.hold, word) for name, word in words.items()}
        ways = {f"way {mode}": partial(self.way, mode) for mode in ("cut", "slow", "hole")}
        return kills | stops | ways | {
            "kill what keeps a node": partial(self.kill, "deploy node"),
            "kill the SuperLink": partial(self.kill, "deployment.superlink", server=True),
            "kill a ServerApp": partial(self.kill, "flwr-serverapp", server=True),
            "stop the SuperLink": partial(self.hold, "deployment.superlink", server=True),
            "kill run.sh": self.kill_run,
            "drop all connections": self.drop,
            "full disk": self.full_disk,
        }  # fmt: skip

    def one_of(self, word: str, server: bool = False) -> tuple[str, psutil.Process] | None:
        """Draw a party and one of its processes."""
        party = self.server if server else self.draw.choice(self.nodes)
        found = party.processes(word)
        return (party.folder.name, self.draw.choice(found)) if found else None

    def kill(self, word: str, server: bool = False) -> str:
        """``kill -9``."""
        if (drawn := self.one_of(word, server)) is None:
            return ""
        drawn[1].kill()
        return drawn[0]

    def kill_run(self) -> str:
        """``kill -9`` of `run.sh`."""
        if self.run is None or self.run.poll() is not None:
            return ""
        self.run.kill()
        return "the operator's"

    def hold(self, word: str, server: bool = False) -> str:
        """``kill -STOP``, and ``-CONT`` after a while."""
        if (drawn := self.one_of(word, server)) is None:
            return ""
        name, process = drawn
        seconds = self.draw.uniform(3, LONGEST_STOP)
        with suppress(psutil.Error):
            process.suspend()
            self.over.wait(seconds)
            process.resume()
        return f"{name} for {seconds:.0f} s"

    def way(self, mode: str) -> str:
        """Change the way of a node for a while."""
        index = self.draw.randrange(len(self.nodes))
        seconds = self.draw.uniform(3, LONGEST_CUT)
        proxy = self.proxies[index]
        proxy.mode = mode
        if mode == "cut":
            proxy.drop()
        self.over.wait(seconds)
        proxy.mode = "open"
        return f"{self.nodes[index].folder.name} for {seconds:.0f} s"

    def drop(self) -> str:
        """End all connections of all nodes."""
        for proxy in self.proxies:
            proxy.drop()
        return "of all nodes"

    def full_disk(self) -> str:
        """Let none of a node's processes write more than a little into a file, for a while."""
        node, seconds = self.draw.choice(self.nodes), self.draw.uniform(3, LONGEST_FULL)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and not self.over.is_set():
            limit(node, FULL_BYTES)  # those that start meanwhile, too
            self.over.wait(1)
        limit(node, resource.RLIM_INFINITY)
        return f"{node.folder.name} for {seconds:.0f} s"

    def trouble(self, deadline: float) -> None:
        """Do one fault after another until then."""
        faults, left = self.faults(), list[str]()
        while not self.over.wait(self.draw.expovariate(1 / self.pause)):
            if time.monotonic() > deadline:
                return
            left = left or self.draw.sample(sorted(faults), len(faults))
            name = left.pop()
            with suppress(psutil.Error, OSError):
                if whose := faults[name]():
                    self.done[name] = self.done.get(name, 0) + 1
                    say(f"fault: {name} ({whose})")


def told(sizes: Mapping[str, float]) -> str:
    """Lay out resident memory."""
    return "RSS, MB: " + ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())


def limit(node: Party, size: int) -> None:
    """Limit how large a file the processes of a node may make."""
    for process in node.processes():
        with suppress(psutil.Error, OSError):
            process.rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def free_ports(count: int) -> list[int]:
    """Find ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def soak(folder: Path, minutes: float, clients: int, seed: int, pause: float) -> int:
    """Do it all; returns the exit code."""
    say(f"seed {seed}: {clients} clients, faults for {minutes:g} min, one every {pause:g} s on average")
    it = Soak(folder, random.Random(seed), pause)
    it.set_up(clients)
    seconds, memory, descriptors, differ = list[float](), list[dict[str, float]](), list[int](), 0
    with it.running():
        say(f"all nodes are connected after {it.wait(it.all_online, 'the nodes'):.0f} s")
        begun = time.monotonic()
        it.one_run(0)
        first = client_results(folder)
        memory.append(it.lasting())
        say(f"run 0, without faults: {time.monotonic() - begun:.0f} s; {told(memory[0])}")
        deadline, number = time.monotonic() + 60 * minutes, 0
        troubles = threading.Thread(target=it.trouble, args=[deadline], daemon=True)
        troubles.start()
        while time.monotonic() < deadline:
            number += 1
            begun = time.monotonic()
            it.one_run(number)
            seconds.append(time.monotonic() - begun)
            outcome = compare_scores(first, client_results(folder))
            differ += not outcome.same or outcome.largest > 0
            memory.append(it.lasting())
            descriptors.append(sum(party.descriptors() for party in (it.server, *it.nodes)))
            say(
                f"run {number}: {seconds[-1]:.0f} s; {outcome.clips} clips, largest difference to run 0 "
                f"{outcome.largest:g}; {told(memory[-1])}; {descriptors[-1]} descriptors"
            )
        it.over.set()
        troubles.join(LONGEST_STOP)
        for proxy in it.proxies:
            proxy.mode = "open"
        say(f"calm: all nodes are connected after {it.wait(it.all_online, 'the nodes'):.0f} s; {told(it.lasting())}")
    say(f"{number} runs completed of {number}; median {statistics.median(seconds):.0f} s, longest {max(seconds):.0f} s")
    say("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(it.done.items())))
    for when, sizes in (("start", memory[0]), ("middle", memory[len(memory) // 2]), ("end", memory[-1])):
        say(f"{when}: {told(sizes)}")
    say(f"descriptors: {descriptors[0]} -> {descriptors[-1]}")
    say(f"runs whose scores differ from those of run 0: {differ}")
    return 1 if differ else 0


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pause", type=float, default=25.0, help="seconds from one fault to the next, on average")
    arguments = parser.parse_args()
    sys.exit(soak(arguments.folder.absolute(), arguments.minutes, arguments.clients, arguments.seed, arguments.pause))


if __name__ == "__main__":
    main()
