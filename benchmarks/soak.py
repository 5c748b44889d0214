"""A deployment under faults, run after run.

Do runs complete, are scores equal, is memory flat?

    python benchmarks/soak.py FOLDER [--minutes 120] [--clients 4] [--seed 7] [--pause 25] [--faketime LIBRARY]
    python benchmarks/soak.py FOLDER --short

Makes a consortium of synthetic machines in FOLDER, runs once without faults, and then again and again while one fault
after another is done to it, in an order drawn by the seed, all of them before any comes again:

- killed (``kill -9``): a SuperNode, its executor, a task of that, the SuperLink, its SuperExec, a ServerApp, a
  `run.sh`, or what keeps a node running, which is then started again, as systemd would;
- stopped for up to 70 s (``kill -STOP``, then ``-CONT``): a SuperNode, its executor, the SuperLink;
- the way of one node to the server, through a proxy of this script: cut for up to 40 s, slow, all connections dropped
  at once, a hole into which they fall without an answer, or losing a message on its way from the server;
- a full disk at one node for up to 40 s: none of its processes can write more than 64 kB into a file;
- with `--faketime`, the library ``libfaketime.so.1`` of the package libfaketime: the clock of one node, or of the
  server alone, set back by an hour for up to 40 s.

``--short`` is the form for tests, of minutes: two nodes, and each fault of `Soak.short` once, in that order. Each waits
until a node is at work, not for a moment, and runs follow each other until all are done, so that load changes how long
it takes and not what happens. Exit code 0: no fault was left out, every run was completed, by all clients, and each
clip's score is that of the first run.
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
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from collab_asd.config import RunConfig
from collab_asd.core.files import replacing
from collab_asd.core.processes import with_descendants
from collab_asd.deployment.consortium import PAGE_MEGABYTES, Consortium
from collab_asd.deployment.flower import node_states
from collab_asd.deployment.local import ONLINE, client_folders, client_results, compare_scores, give_recordings
from collab_asd.deployment.processes import STATE, environment, is_open, start, stop
from collab_asd.deployment.settings import NODE, ServerSettings

RUN_SECONDS = 1800.0
"""A run that takes longer counts as one that hangs: machines that others use take minutes for one."""
BACK_SECONDS = 900.0
LONGEST_STOP, LONGEST, LOSING = 70.0, 40.0, 150.0
LOST_SECONDS = 45.0
"""In which the server asks again, if what was lost was a message."""
SHORT_SECONDS = 5.0
AT_WORK_SECONDS = 900.0
SLOW_BYTES, SLOW_SECONDS = 16_384, 0.2
ASKING_SECONDS, ANSWER_BYTES = 2.9, 250
"""A SuperNode asks for messages every 3 s; what it is answered is shorter than so much if there is none, and longer if
there is one."""
FULL_BYTES = 65_536
SUPERLINK, SUPEREXEC, SUPERNODE, EXECUTOR, TASK = (
    "deployment.superlink",
    "flower-superexec",
    "deployment.supernode",
    "deployment.executor",
    "forkserver",
)
"""What the commands of their processes hold."""
RECEIVING, SENT, DISK_FULL, ASKED_AGAIN = b"Receiving: ", b"Sent successfully", b"File too large", b"is asked again: "
"""What a node says when it is asked for something, when it has answered, and when a limit of its files is met; and the
server, of a node."""
RIGHT, BACK = "+0", "-3600"
"""Seconds of a clock that is right, and of one that is set back."""


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
        self.mode, self.lost, self._port = "open", 0, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._losing: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._call(asyncio.start_server(self._meet, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _call(self, coroutine: Coroutine[Any, Any, asyncio.Server]) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def drop(self) -> None:
        """End all connections at once."""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def lose(self) -> None:
        """Lose the next message of the server's on a connection that there is now, and end that connection."""
        self._loop.call_soon_threadsafe(lambda: self._losing.update(self._writers))

    def keep(self) -> None:
        """Lose no message."""
        self._loop.call_soon_threadsafe(self._losing.clear)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while self.mode == "hole":
                await asyncio.sleep(0.2)
            if self.mode == "cut":
                return
            theirs, their_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers.add(their_writer)
            await asyncio.gather(self._pump(reader, their_writer), self._pump(theirs, writer, answers=True))
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool = False) -> None:
        last, answered = time.monotonic(), ANSWER_BYTES + 1  # bytes since it was quiet; of a handshake none count
        with suppress(OSError):
            while data := await reader.read(SLOW_BYTES):
                quiet, last = time.monotonic() - last, time.monotonic()
                before = 0 if quiet > ASKING_SECONDS else answered
                answered = before + len(data)  # an answer may come in several pieces
                while self.mode == "hole":
                    await asyncio.sleep(0.2)
                if self.mode == "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                is_message = answers and before <= ANSWER_BYTES < answered
                if is_message and writer in self._losing:
                    self._losing.clear()
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.transport.abort()
        self._writers.discard(writer)
        self._losing.discard(writer)


@dataclass
class Party:
    """A server or node: what keeps it running is started again when it ends, as systemd does."""

    folder: Path
    command: str
    faketime: str = ""
    seen: int = 0
    process: subprocess.Popen[bytes] | None = None
    ending: bool = False

    def begin(self) -> None:
        """Start it."""
        (self.folder / STATE).mkdir(parents=True, exist_ok=True)
        if self.faketime:
            self.set_clock(RIGHT)
        with (self.folder / STATE / "log.txt").open("ab") as log:
            words = [sys.executable, "-m", "collab_asd.cli.main", "deploy", self.command, str(self.folder)]
            self.process = start(words, self.folder, environment(self.folder) | self.clock(), log)

    def clock(self) -> dict[str, str]:
        """Environment of processes whose clock `set_clock` sets, but for the monotonic one, as a real clock is set."""
        if not self.faketime:
            return {}
        file = self.folder / STATE / "clock"
        fixed = {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
        return fixed | {"LD_PRELOAD": self.faketime, "FAKETIME_TIMESTAMP_FILE": str(file)}

    def set_clock(self, offset: str) -> None:
        """Set its clock, s."""
        with replacing(self.folder / STATE / "clock") as file:
            file.write(offset.encode())

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

    @property
    def log(self) -> bytes:
        """What its processes have said."""
        return (self.folder / STATE / "log.txt").read_bytes()

    def at_work(self, asked: str) -> bool:
        """Whether it has been asked this since `seen`, and a task for that runs: a process made by the fork server."""
        _, told, last = self.log[self.seen :].rpartition(RECEIVING)
        if not told or not last.startswith(asked.encode()):
            return False
        servers = {each.pid for each in self.processes(TASK)}
        with suppress(psutil.Error):
            return any(each.ppid() in servers for each in self.processes(TASK))
        return False

    def has_answered(self) -> bool:
        """Whether it has sent its answer to what it was asked last."""
        return SENT in self.log.rpartition(RECEIVING)[2]

    def memory(self, word: str = "") -> float:
        """Resident, MB, of all of its processes, or of those whose command holds a word."""
        sizes = list[float]()
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
    faketime: str = ""
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
        self.server = Party(self.folder / "server", "server", self.faketime)
        self.nodes = [Party(folder, "node", self.faketime) for folder in client_folders(self.folder)]
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
            runs = [] if self.run is None else [self.run]
            stop(*runs, *(party.process for party in parties if party.process is not None))

    def lasting(self) -> dict[str, float]:
        """Resident, MB, of what runs from one run to the next: a task or ServerApp that is at work is none of it."""
        nodes = [sum(node.memory(word) for word in (SUPERNODE, EXECUTOR)) for node in self.nodes]
        return {"SuperLink and gate": self.server.memory(SUPERLINK)} | {
            node.folder.name: size for node, size in zip(self.nodes, nodes, strict=True)
        }

    @property
    def runs_log(self) -> Path:
        """What the runs have said, and through them their ServerApps."""
        return self.folder / "runs.log"

    @property
    def settings(self) -> ServerSettings:
        """The server's."""
        return ServerSettings.load(self.folder / "server")

    def wait(self, ready: Callable[[], bool], what: str, seconds: float = BACK_SECONDS, pause: float = 2.0) -> float:
        """Wait for something; how long it took. Raises if it does not come."""
        begun = time.monotonic()
        while not ready():
            if time.monotonic() - begun > seconds:
                raise SystemExit(f"{what}: not there after {seconds:.0f} s")
            time.sleep(pause)
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
        with self.runs_log.open("ab") as log:
            while not (out / "summary.json").exists():
                tries += 1
                if time.monotonic() > deadline or tries > 6:
                    raise SystemExit(f"run {number} was not completed; {self.runs_log} says why")
                self.run = subprocess.Popen(
                    [*words, "--out", str(out)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
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
        """Everything that may be done, by name; to whom, the seed draws."""
        words = {"SuperNode": SUPERNODE, "executor": EXECUTOR}
        kills = {f"kill a {name}": partial(self.kill, word) for name, word in (words | {"task": TASK}).items()}
        stops = {f"stop a {name}": partial(self.hold, word) for name, word in words.items()}
        ways = {f"way {mode}": partial(self.way, mode) for mode in ("cut", "slow", "hole")}
        return kills | stops | ways | self.clocks() | {
            "kill what keeps a node": partial(self.kill, "deploy node"),
            "kill the SuperLink": partial(self.kill, SUPERLINK, self.server),
            "kill the SuperExec": partial(self.kill, SUPEREXEC, self.server),
            "kill a ServerApp": partial(self.kill, "flwr-serverapp", self.server),
            "stop the SuperLink": partial(self.hold, SUPERLINK, self.server),
            "kill run.sh": self.kill_run,
            "drop all connections": self.drop,
            "lose a message": self.lose,
            "full disk": self.full_disk,
        }  # fmt: skip

    def clocks(self) -> dict[str, Callable[[], str]]:
        """Clocks that are set back, where there is a library for it."""
        parties = {"a node": None, "the server": self.server} if self.faketime else {}
        return {f"clock of {whose} set back": partial(self.set_back, party) for whose, party in parties.items()}

    def short(self) -> list[tuple[str, Party, str, Callable[[], str]]]:
        """List what the short form does in order: name, the node that has to be at work, on what, and the fault."""
        first, second = self.nodes
        embeddings, scores = "train.embeddings", "evaluate.score"
        return [
            ("kill the executor", first, embeddings, partial(self.kill, EXECUTOR, first)),
            ("kill the SuperNode", second, embeddings, partial(self.kill, SUPERNODE, second)),
            ("kill the SuperExec", first, embeddings, partial(self.kill, SUPEREXEC, self.server)),
            ("stop the SuperLink", first, embeddings, partial(self.hold, SUPERLINK, self.server, SHORT_SECONDS)),
            ("drop all connections", second, scores, self.drop),
            ("lose a message", second, scores, partial(self.lose, second)),
            ("full disk", first, scores, partial(self.full_disk, first, LONGEST, DISK_FULL)),
            *((name, second, embeddings, fault) for name, fault in self.clocks().items()),
        ]

    def kill(self, word: str, party: Party | None = None) -> str:
        """``kill -9`` of one of the processes of a party, else of a node that is drawn."""
        party = party or self.draw.choice(self.nodes)
        if not (found := party.processes(word)):
            return ""
        self.draw.choice(found).kill()
        return party.folder.name

    def kill_run(self) -> str:
        """``kill -9`` of `run.sh`."""
        if self.run is None or self.run.poll() is not None:
            return ""
        self.run.kill()
        return "the operator's"

    def hold(self, word: str, party: Party | None = None, seconds: float = 0.0) -> str:
        """``kill -STOP``, and ``-CONT`` after a while."""
        party, seconds = party or self.draw.choice(self.nodes), seconds or self.draw.uniform(3, LONGEST_STOP)
        if not (found := party.processes(word)):
            return ""
        process = self.draw.choice(found)
        with suppress(psutil.Error):
            process.suspend()
            self.over.wait(seconds)
            process.resume()
        return f"{party.folder.name} for {seconds:.0f} s"

    def way(self, mode: str) -> str:
        """Change the way of a node for a while."""
        index = self.draw.randrange(len(self.nodes))
        seconds = self.draw.uniform(3, LONGEST)
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

    def lose(self, node: Party | None = None) -> str:
        """Lose a message on its way to a node, and another if that was none: the server asks again."""
        index = self.nodes.index(node) if node else self.draw.randrange(len(self.nodes))
        proxy, said, seen = self.proxies[index], self.runs_log.stat().st_size, False
        begun = lose_at = time.monotonic()
        before = lost = proxy.lost
        while time.monotonic() - begun < LOSING and not self.over.is_set() and not seen:
            if proxy.lost > lost:
                lost, lose_at = proxy.lost, time.monotonic() + LOST_SECONDS
            if time.monotonic() < lose_at or not self.nodes[index].has_answered():
                proxy.keep()  # what the server says while a node works is no message: it takes its answer
            else:
                proxy.lose()
            self.over.wait(0.2)
            seen = ASKED_AGAIN in self.runs_log.read_bytes()[said:]
        return f"{self.nodes[index].folder.name}: {proxy.lost - before}" if seen else ""

    def full_disk(self, node: Party | None = None, seconds: float = 0.0, until: bytes = b"") -> str:
        """Let none of a node's processes write more than a little into a file, for a while, or until it says so."""
        node, seconds = node or self.draw.choice(self.nodes), seconds or self.draw.uniform(3, LONGEST)
        begun, said, met = time.monotonic(), len(node.log), False
        while time.monotonic() - begun < seconds and not self.over.is_set() and not met:
            limit(node, FULL_BYTES)  # those that start meanwhile, too
            self.over.wait(0.2 if until else 1)
            met = bool(until) and until in node.log[said:]
        limit(node, resource.RLIM_INFINITY)
        seconds = time.monotonic() - begun
        return "" if until and not met else f"{node.folder.name} for {seconds:.0f} s"

    def set_back(self, party: Party | None = None) -> str:
        """Set back the clock of a party, else of a node that is drawn, and right again after a while."""
        party, seconds = party or self.draw.choice(self.nodes), self.draw.uniform(3, LONGEST)
        party.set_clock(BACK)
        self.over.wait(seconds)
        party.set_clock(RIGHT)
        return f"{party.folder.name} by {BACK.lstrip('-')} s, for {seconds:.0f} s"

    def do(self, name: str, fault: Callable[[], str]) -> None:
        """Do a fault, and say whom it met, if anybody."""
        with suppress(psutil.Error, OSError):
            if whose := fault():
                self.done[name] = self.done.get(name, 0) + 1
                say(f"fault: {name} ({whose})")

    def trouble(self, seconds: float) -> None:
        """Do one fault after another for so long."""
        faults, left, deadline = self.faults(), list[str](), time.monotonic() + seconds
        while not self.over.wait(self.draw.expovariate(1 / self.pause)) and time.monotonic() < deadline:
            left = left or self.draw.sample(sorted(faults), len(faults))
            name = left.pop()
            self.do(name, faults[name])

    def short_trouble(self) -> None:
        """Do the faults of the short form, each as soon as its node is at work on what it says."""
        for node in self.nodes:
            node.seen = len(node.log)
        for name, node, asked, fault in self.short():
            while name not in self.done and not self.over.is_set():
                self.wait(partial(node.at_work, asked), f"{node.folder.name} at work", AT_WORK_SECONDS, 0.1)
                self.do(name, fault)
            node.seen = len(node.log)


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


def soak(it: Soak, clients: int, trouble: Callable[[], None]) -> int:
    """Do it all; returns the exit code."""
    it.set_up(clients)
    seconds, memory, descriptors, differ, number = list[float](), list[dict[str, float]](), list[int](), 0, 0
    with it.running():
        say(f"all nodes are connected after {it.wait(it.all_online, 'the nodes'):.0f} s")
        begun = time.monotonic()
        it.one_run(0)
        first = client_results(it.folder)
        memory.append(it.lasting())
        say(f"run 0, without faults: {time.monotonic() - begun:.0f} s; {told(memory[0])}")
        troubles = threading.Thread(target=trouble, daemon=True)
        troubles.start()
        while troubles.is_alive():
            number += 1
            begun = time.monotonic()
            it.one_run(number)
            seconds.append(time.monotonic() - begun)
            outcome = compare_scores(first, client_results(it.folder))
            differ += not outcome.same or outcome.largest > 0
            memory.append(it.lasting())
            descriptors.append(sum(party.descriptors() for party in (it.server, *it.nodes)))
            say(
                f"run {number}: {seconds[-1]:.0f} s; {outcome.clips} clips, largest difference to run 0 "
                f"{outcome.largest:g}; {told(memory[-1])}; {descriptors[-1]} descriptors"
            )
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
    parser.add_argument("--pause", type=float, default=25.0, help="seconds from a fault's end to the next, on average")
    parser.add_argument("--faketime", type=Path, help="libfaketime.so.1, to set clocks back")
    parser.add_argument("--short", action="store_true", help="two nodes, and a few faults once, in a fixed order")
    asked = parser.parse_args()
    faketime = str(asked.faketime.resolve(strict=True)) if asked.faketime else ""
    it = Soak(asked.folder.absolute(), random.Random(asked.seed), asked.pause, faketime)
    if asked.short:
        code = soak(it, 2, it.short_trouble)
        left_out = [name for name, *_ in it.short() if name not in it.done]
        say(f"faults left out: {', '.join(left_out) or 'none'}")
        sys.exit(1 if left_out else code)
    pauses = f"{asked.pause:g} s from a fault to the next on average"
    say(f"seed {asked.seed}, {asked.clients} clients, {pauses}, {asked.minutes:g} min")
    sys.exit(soak(it, asked.clients, partial(it.trouble, 60 * asked.minutes)))


if __name__ == "__main__":
    main()
