"""Whether a process of Flower's still does what it is for: judged by what it last exchanged, not by its being there."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.deployment.certificates import load_node_key
from collab_asd.deployment.probe_server import Answer, ask, registered
from collab_asd.deployment.probe_server import clock as compare_clocks
from collab_asd.deployment.processes import exchange_file
from collab_asd.deployment.settings import NodeSettings

logger = logging.getLogger(__name__)
START_SECONDS = 240.0
"""How long a SuperNode may take until it is connected: loading the ClientApp takes longest."""
QUIET_SECONDS = 45.0
"""A SuperNode sends a heartbeat every 20 s."""
RECOVERY_SECONDS = 12.0
"""So long a server answers others before a SuperNode that it does not answer starts again."""
POLL_SECONDS = 2.0
PROBE_SECONDS = 5.0


@dataclass
class NodeHealth:
    """Of a SuperNode: when it last exchanged something with its server, and whether that answers and lets it in.

    Parameters
    ----------
    node : NodeSettings
    """

    node: NodeSettings
    clock: Callable[[], float] = time.monotonic
    _touched: int = field(default=0, init=False)
    _last: float = field(default=0.0, init=False)
    _allowed: float = field(default=START_SECONDS, init=False)
    _answers_since: float | None = field(default=None, init=False)

    def wait_for_server(self) -> None:
        """Return when the server lets this node in, as far as can be seen: until then, a SuperNode starts in vain.

        Each kind of obstacle is said once: what is tried every few seconds would fill the log.
        """
        said = set[str]()
        while obstacle := self._obstacle():
            kind, words = obstacle
            if kind not in said:
                logger.warning("waiting for the server: %s", words)
            said.add(kind)
            time.sleep(POLL_SECONDS)
        if said:
            logger.info("%s lets this node in", self.node.superlink)
        self._touched, self._last, self._allowed = self._mark(), self.clock(), START_SECONDS
        self._answers_since = None

    def illness(self) -> str | None:
        """In words why the SuperNode must start again, None if it need not."""
        if (touched := self._mark()) != self._touched:
            if self._allowed == START_SECONDS:
                logger.info("connected to %s", self.node.superlink)
            self._touched, self._last, self._allowed, self._answers_since = touched, self.clock(), QUIET_SECONDS, None
        silent = self.clock() - self._last
        if silent <= self._allowed:
            return None
        try:
            self._ask()
        except InputError:
            self._answers_since = None
            return None
        if self._answers_since is None:
            self._answers_since = self.clock()
        if self.clock() - self._answers_since < RECOVERY_SECONDS:
            return None
        return f"has exchanged nothing with {self.node.superlink} for {silent:.0f} s, though that answers"

    def _mark(self) -> int:
        """When the SuperNode's file was touched. Only that this changes counts, not the time: clocks are set."""
        exchange = exchange_file(self.node)
        return exchange.stat().st_mtime_ns if exchange.exists() else 0

    def _obstacle(self) -> tuple[str, str] | None:
        """Return what keeps the server from letting this node in, its kind and in words; None: nothing that is seen."""
        try:
            answer = self._ask()
        except InputError as error:
            return "way", str(error)
        try:
            compare_clocks(answer)
        except InputError as error:
            return "clock", f"this machine's clock is {error}"
        try:
            if answer.name == "":
                registered(answer, self.node.known_as, self.node.folder / "node.pub")
        except InputError as error:
            return "key", str(error)
        return None

    def _ask(self) -> Answer:
        key = load_node_key(self.node.folder / "node.key")
        return ask(self.node.superlink, self.node.folder / "ca.crt", PROBE_SECONDS, key)


@dataclass
class ServerHealth:
    """Of a SuperLink: whether it answers on its own machine.

    Parameters
    ----------
    superlink : str
        ``HOST:PORT`` on this machine.
    authority : Path
    seconds : float
        How long it may answer nothing.
    """

    superlink: str
    authority: Path
    seconds: float = 180.0
    clock: Callable[[], float] = time.monotonic
    _silent_since: float | None = field(default=None, init=False)

    def begin(self) -> None:
        """Forget what was: the SuperLink starts."""
        self._silent_since = None

    def illness(self) -> str | None:
        """In words why the SuperLink must start again, None if it need not."""
        try:
            ask(self.superlink, self.authority, PROBE_SECONDS)
        except InputError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                return None  # a person has to look
            self._silent_since = self._silent_since if self._silent_since is not None else self.clock()
            silent = self.clock() - self._silent_since
            return f"has answered nothing for {silent:.0f} s ({error})" if silent > self.seconds else None
        self._silent_since = None
        return None
