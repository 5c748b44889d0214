"""What the SuperLink refuses before a request is read: too many connections, and those that keep it waiting.

Whoever reaches the port can open connections, and none of them costs a stranger anything. So the number of those that
have not said a whole request yet is limited, for an address and in all. When there are too many, the oldest of them is
dropped in favour of the newest: an honest node says its request within a moment and gets through, however many
strangers wait. TLS and the head of a request must be complete within seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from collab_asd.deployment.logs import Refusals

SILENT_OF_ADDRESS, SILENT_IN_ALL = 64, 384
SPEAKING_OF_ADDRESS, SPEAKING_IN_ALL = 64, 128
KNOWN_OF_KEY = 32
"""Connections; a SuperNode has two or three. Together those of strangers are half of what a process may often have."""
LOOPBACK = {"127.0.0.1", "::1"}
STATE_KEY = "collab_asd.connection"
"""Where a request's scope has its connection, in its state."""
HANDSHAKE_SECONDS, HEAD_SECONDS, FAREWELL_SECONDS = 10.0, 10.0, 5.0
HEAD_BYTES = 16 * 2**10
BACKLOG = 512
"""Connections that may wait, and that are taken at a time before any of them is looked at."""


class Connections:
    """All there are: silent ones, which have said no request yet, oldest first; speaking ones; and those of known keys.

    Parameters
    ----------
    refusals : Refusals
        Where it is written down whom this drops.
    """

    def __init__(self, refusals: Refusals) -> None:
        self.refusals = refusals
        self._silent: dict[Connection, None] = {}
        self._speaking: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}

    def add(self, connection: Connection) -> None:
        """Count a new one, and drop an old one if there are too many."""
        self._silent[connection] = None
        own = _of(connection.party, self._silent)
        if len(own) > SILENT_OF_ADDRESS:
            own[0].drop("too many connections of this address that say nothing")
        elif len(self._silent) > SILENT_IN_ALL:
            next(iter(self._silent)).drop("too many connections that say nothing")

    def speaks(self, connection: Connection) -> None:
        """Note that a request has come, or drop the connection if too many speak at once."""
        if connection not in self._silent:
            return
        own = _of(connection.party, self._speaking)
        if len(own) >= SPEAKING_OF_ADDRESS or len(self._speaking) >= SPEAKING_IN_ALL:
            connection.drop("too many connections of strangers at once")
            return
        del self._silent[connection]
        self._speaking[connection] = None

    def knows(self, connection: Connection, key: str) -> None:
        """Note that a known key has signed a request: no stranger counts beside it any more."""
        if connection in self._known:
            return
        self.remove(connection)
        connection.party = key
        if len(_of(key, self._known)) >= KNOWN_OF_KEY:
            connection.drop("too many connections of one key")
            return
        self._known[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget one that has ended."""
        for held in (self._silent, self._speaking, self._known):
            held.pop(connection, None)


def _of(party: str, held: Iterable[Connection]) -> list[Connection]:
    return [connection for connection in held if connection.party == party]


class Connection(asyncio.Protocol):
    """One connection, from its first moment until its TLS stands; from then on, `Http` reads it.

    Parameters
    ----------
    connections : Connections
    make_http : callable
        Makes what reads requests.
    tls : ssl.SSLContext or None
        None: there is none.
    """

    def __init__(self, connections: Connections, make_http: Callable[[], Http], tls: ssl.SSLContext | None) -> None:
        self._connections, self._make_http, self._tls = connections, make_http, tls
        self._transport: asyncio.Transport | None = None
        self.address = self.party = "unknown"
        self._is_dropped = False

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer:
            self.address, self.party = peer[0], party(peer[0])
        self._connections.add(self)
        if transport.is_closing():
            return
        transport.pause_reading()
        self._beginning = asyncio.get_running_loop().create_task(self._begin(transport))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`: it ended before its TLS began."""
        self.ended()

    async def _begin(self, transport: asyncio.Transport) -> None:
        if transport.is_closing():  # dropped in favour of others that came with it: TLS would cost memory
            return
        http = self._make_http()
        http.connection = self
        http.app_state = {**http.app_state, STATE_KEY: self}
        if self._tls is None:
            transport.set_protocol(http)
            http.connection_made(transport)
            transport.resume_reading()
            return
        try:
            secure = await asyncio.get_running_loop().start_tls(
                transport, http, self._tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=FAREWELL_SECONDS,
            )  # fmt: skip
        except (OSError, asyncio.CancelledError) as error:  # OSError: ssl.SSLError, TimeoutError, ConnectionError
            if self._is_dropped:
                return
            if isinstance(error, ConnectionResetError) and self.address in LOOPBACK:
                transport.abort()  # a program here, such as `deploy status`, has looked whether the port is open
                self.ended()
                return
            what = "a connection that is not TLS, or whose end does not trust this server"
            text = f"{what}: {str(error) or type(error).__name__}, from {self.address}"
            self._connections.refusals.note(self.address, text, what)
            transport.abort()
            self.ended()
            return
        if secure is None or transport.is_closing():
            self.ended()
            return
        http.connection_made(secure)

    def speaks(self) -> None:
        """See `Connections.speaks`."""
        self._connections.speaks(self)

    def known(self, key: bytes) -> None:
        """See `Connections.knows`."""
        self._connections.knows(self, key.hex())

    def drop(self, why: str) -> None:
        """End it at once."""
        self._is_dropped = True
        self._connections.refusals.note(self.address, f"{self.address}: {why}", why)
        if self._transport is not None:
            self._transport.abort()
        self.ended()

    def ended(self) -> None:
        """Count it no more."""
        self._connections.remove(self)


class Http(H11Protocol):
    """uvicorn's reader of requests, whose patience with the head of one has an end.

    It is uvicorn's in plain Python, since that limits how long a head may be; the other one does not.
    """

    connection: Connection
    _deadline: asyncio.TimerHandle | None = None
    _early = b""
    _is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`; what came since TLS stood has been kept."""
        if self._is_lost:
            return
        super().connection_made(transport)  # type: ignore[arg-type]
        self._expect_head()
        if self._early:
            self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.transport is None:
            self._early += data
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_nothing()
            self.connection.speaks()
        elif self._deadline is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._is_lost = True
        self._expect_nothing()
        self.connection.ended()
        if self.transport is not None:  # else its TLS never stood
            super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """See `H11Protocol`; says from where the request came."""
        self.connection.drop(f"no request, or one whose head has more than {HEAD_BYTES} bytes")

    def _expect_head(self) -> None:
        why = f"no whole head of a request within {HEAD_SECONDS:.0f} s"
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.connection.drop, why)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def party(address: str) -> str:
    """Whom an address is counted for: itself; in IPv6 the network that one connection to the internet gets."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def limit_connections(config: Any, refusals: Refusals) -> None:
    """Let a loaded configuration of uvicorn take connections in this way."""
    connections, tls = Connections(refusals), config.ssl

    def make(**arguments: Any) -> Connection:
        return Connection(connections, lambda: Http(**arguments), tls)

    config.http_protocol_class, config.ws_protocol_class, config.ssl = make, None, None
    config.h11_max_incomplete_event_size, config.backlog = HEAD_BYTES, BACKLOG
