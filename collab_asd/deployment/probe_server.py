"""What can be told of a server from outside: its port, certificate and clock."""

from __future__ import annotations

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from collab_asd.core.errors import InputError
from collab_asd.core.terminal import printable
from collab_asd.deployment.settings import host_and_port

SECONDS = 10.0
MOST_AHEAD, MOST_BEHIND = 5.0, 300.0
"""Seconds that a client's clock may differ: Flower refuses a signature outside of them."""
SOON_DAYS = 30
MOST_BYTES, LONGEST_NAME = 65_536, 80  # of an answer, and of a name in it
OF_TIME = 9, 10  # OpenSSL's codes of a certificate that is not valid yet, or no more
NUMBERED = re.compile(r"client-\d+")


@dataclass(frozen=True)
class Answer:
    """What a server said over TLS.

    Parameters
    ----------
    expires : datetime
        Of its certificate.
    ahead : float
        Seconds by which this machine's clock is ahead of the server's; good to a second.
    name : str or None
        Under which name the server has the key that the question was signed by; empty: it has not. None: no server of
        this version of collab-asd.
    silent : mapping
        Name of a node -> seconds since Flower has last answered it; only the server's own machine is told.
    up : float
        Seconds since the server began, for nodes that are not among them.
    """

    expires: datetime
    ahead: float
    name: str | None = None
    silent: Mapping[str, float] = field(default_factory=dict)
    up: float = 0.0


def ask(
    superlink: str, authority: Path, seconds: float = SECONDS, key: ec.EllipticCurvePrivateKey | None = None
) -> Answer:
    """Connect to ``HOST:PORT`` and check that it is the server that the authority vouches for.

    Parameters
    ----------
    superlink : str
    authority : Path
        Certificate that the server's is checked by.
    seconds : float
        How long it may take.
    key : EllipticCurvePrivateKey, optional
        Of a SuperNode, that signs the question as Flower's do.

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
        return _answer(connection, superlink, _signature(key) if key else {})


def _signature(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    from collab_asd.federation import flwr_compat as flower

    moment = datetime.now(UTC).isoformat()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(moment.encode("ascii"), ec.ECDSA(SHA256()))
    return {
        flower.FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public).decode("ascii"),
        flower.TIMESTAMP_HEADER: moment,
        flower.FLEET_HTTP_SIGNATURE_HEADER: b64encode(signature).decode("ascii"),
    }


def _answer(connection: HTTPSConnection, superlink: str, headers: dict[str, str]) -> Answer:
    date, certificate, said, asked = None, None, b"", datetime.now(UTC)
    try:
        connection.connect()
        certificate = connection.sock.getpeercert()
        asked = datetime.now(UTC)  # before the answer: one that is slow does not put this clock ahead
        connection.request("GET", "/", headers=headers)
        response = connection.getresponse()
        date, said = response.getheader("Date"), response.read(MOST_BYTES)
    except HTTPException:
        pass  # it speaks no HTTP
    except ssl.SSLCertVerificationError as error:
        advice = (
            f"is this machine's clock right, which says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC? If so, the server "
            "needs another (`collab-asd deploy certificate`)"
            if error.verify_code in OF_TIME
            else "compare ca.crt with the consortium's, and the host name with the one that it was set up with"
        )
        raise InputError(f"{superlink}: its certificate is refused ({error.verify_message}); {advice}") from error
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"{superlink}: cannot be reached ({error}); is that the server's address (superlink in node.toml), is it "
            "running, and does the firewall let this out?"
        ) from error
    if date is None or not certificate:
        raise InputError(f"{superlink}: answers, but is no SuperLink; check host and port in node.toml")
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    return Answer(expires, (asked - parsedate_to_datetime(date)).total_seconds(), **_told(said))


def _told(said: bytes) -> dict[str, Any]:
    """Read what a gate says; nothing where something else answers."""
    try:
        told = json.loads(said)
        name, silent, up = told["name"], told.get("silent", {}), float(told.get("up", 0.0))
        named = {str(node): float(seconds) for node, seconds in silent.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {"name": name, "silent": named, "up": up} if isinstance(name, str) else {}


def reachable(answer: Answer) -> str:
    """Say that the server is there, and for how long its certificate is good."""
    days = (answer.expires - datetime.now(UTC)).days
    soon = "; renew it soon with `collab-asd deploy certificate`" if days < SOON_DAYS else ""
    return f"reached over TLS, and it is the right one; its certificate is good for {days} days{soon}"


def registered(answer: Answer, own: str, public_key: Path) -> str:
    """Say that the server lets a node in by its key.

    Parameters
    ----------
    answer : Answer
        To a question that the node's key has signed.
    own : str
        What the server must call this node: ``client-0``.
    public_key : Path
        What its operator must have.

    Raises
    ------
    InputError
        It does not, or as another client.
    """
    if answer.name is None:
        raise InputError("the server does not say whose key it has: another version of collab-asd, or a proxy answers")
    if not answer.name:
        raise InputError(
            f"the server does not have this node's key: its operator puts {public_key} into nodes/ as {own}.pub; if it "
            "lies there, the server's log says why it is refused"
        )
    named = printable(answer.name)[:LONGEST_NAME]
    if NUMBERED.fullmatch(answer.name) and answer.name != own:
        raise InputError(
            f"the server has this node's key as {named}.pub, and node.toml says that this is {own}: ask its operator"
        )
    return f"the server has this node's key, as {named}.pub"


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
