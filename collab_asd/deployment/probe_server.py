"""What can be told of a server from outside: its port, certificate and clock."""

from __future__ import annotations

import ssl
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from collab_asd.core.errors import InputError
from collab_asd.deployment.settings import host_and_port

SECONDS = 10.0
MOST_AHEAD, MOST_BEHIND = 5.0, 300.0
"""Seconds that a client's clock may differ: Flower refuses a signature outside of them."""
SOON_DAYS = 30


@dataclass(frozen=True)
class Answer:
    """What a server said over TLS.

    Parameters
    ----------
    expires : datetime
        Of its certificate.
    ahead : float
        Seconds by which this machine's clock is ahead of the server's; good to a second.
    """

    expires: datetime
    ahead: float


def ask(superlink: str, authority: Path, seconds: float = SECONDS) -> Answer:
    """Connect to ``HOST:PORT`` and check that it is the server that the authority vouches for.

    Raises
    ------
    InputError
        It cannot be reached, or is not.
    """
    host, port = host_and_port(superlink)
    try:
        context = ssl.create_default_context(cafile=str(authority))
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{authority}: not a certificate ({error}); INVENTORY.md says who gives it to you") from error
    with closing(HTTPSConnection(host, port, timeout=seconds, context=context)) as connection:
        return _answer(connection, superlink)


def _answer(connection: HTTPSConnection, superlink: str) -> Answer:
    date, certificate = None, None
    try:
        connection.connect()
        certificate = connection.sock.getpeercert()
        connection.request("GET", "/")
        date = connection.getresponse().getheader("Date")
    except HTTPException:
        pass  # it speaks no HTTP
    except ssl.SSLCertVerificationError as error:
        raise InputError(
            f"{superlink}: its certificate is refused ({error.verify_message}); compare ca.crt with the consortium's, "
            "and the host name with the one that it was set up with"
        ) from error
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"{superlink}: cannot be reached ({error}); is it running, and does the firewall let this out?"
        ) from error
    if date is None or not certificate:
        raise InputError(f"{superlink}: answers, but is no SuperLink; check host and port in node.toml")
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    return Answer(expires, (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())


def reachable(answer: Answer) -> str:
    """Say that the server is there, and for how long its certificate is good."""
    days = (answer.expires - datetime.now(UTC)).days
    soon = "; renew it soon with `collab-asd deploy certificate`" if days < SOON_DAYS else ""
    return f"reached over TLS, and it is the right one; its certificate is good for {days} days{soon}"


def clock(answer: Answer) -> str:
    """Compare the clocks.

    Raises
    ------
    InputError
        They are too far apart for Flower.
    """
    said = f"{abs(answer.ahead):.0f} s {'ahead of' if answer.ahead > 0 else 'behind'} the server's"
    if not -MOST_BEHIND < answer.ahead < MOST_AHEAD:
        raise InputError(f"{said}: Flower refuses this; set it, for example by `timedatectl set-ntp true`")
    return said
