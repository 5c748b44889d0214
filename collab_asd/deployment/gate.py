"""What the SuperLink refuses before Flower sees it.

One port carries all of Flower's interfaces, and those by which runs are started and keys registered ask nobody who they
are. A SuperNode signs the time of a request and nothing else, may send a reply in another's name, and of any size. The
gate leaves the SuperNodes' interface alone to other machines, takes a signature once, a reply from its sender, and no
more bytes than agreed.
"""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode
from typing import NamedTuple

from cachetools import LRUCache, TTLCache
from google.protobuf.message import DecodeError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collab_asd.federation import flwr_compat as flower

logger = logging.getLogger(__name__)

FLEET = flower.FLEET_PATH
PUSH_MESSAGES, PUSH_OBJECT = FLEET + "push-messages", FLEET + "push-object"
LOOPBACK = {"127.0.0.1", "::1"}
LARGEST_REQUEST = 32 * 2**20  # bytes; Flower sends messages in objects of 5 MiB
LARGEST_REPLY = 256 * 2**20
REMEMBERED = 100_000  # signatures, and nodes
SIGNED_SECONDS = flower.TIMESTAMP_TOLERANCE + 2 * flower.SYSTEM_TIME_TOLERANCE  # so long Flower takes a signature


class Refusal(NamedTuple):
    """An HTTP status, and why."""

    status: int
    why: str


class Signed(NamedTuple):
    """Whose key signed what time. The signature itself can be written in more than one way."""

    key: bytes
    moment: str


TOO_LARGE = Refusal(413, "request or reply is too large")


class Gate:
    """ASGI middleware that stands before all others.

    Parameters
    ----------
    app : ASGIApp
    largest_request, largest_reply : int
        Bytes of one request, and of all objects of one reply.
    """

    def __init__(
        self, app: ASGIApp, largest_request: int = LARGEST_REQUEST, largest_reply: int = LARGEST_REPLY
    ) -> None:
        self._app, self._largest_request, self._largest_reply = app, largest_request, largest_reply
        self._used: TTLCache[Signed | None, bool] = TTLCache(REMEMBERED, SIGNED_SECONDS)
        self._sent: LRUCache[bytes, int] = LRUCache(REMEMBERED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on and note whether Flower refused it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        signed = _signed(Headers(scope=scope))
        if refusal := self._by_head(scope, signed):
            await _refuse(refusal, scope, receive, send)
            return
        body = await _read(receive, self._largest_request)
        refusal = TOO_LARGE if body is None else self._by_body(scope, signed, body)
        if body is None or refusal:
            await _refuse(refusal or TOO_LARGE, scope, receive, send)
        else:
            await self._app(scope, _once(body, receive), _noting(scope, send))

    def _by_head(self, scope: Scope, signed: Signed | None) -> Refusal | None:
        """Judge a request by where it comes from and how it is signed. Unsound signatures are refused by Flower."""
        if scope["type"] != "http":
            return Refusal(403, "no such interface")
        if not scope["path"].startswith(FLEET):
            return None if _is_local(scope) else Refusal(403, "only this machine may use this interface")
        if signed in self._used:
            return Refusal(503, "signature was used before")  # 503: an honest node signs anew and repeats
        if signed is not None:
            self._used[signed] = True
        return None

    def _by_body(self, scope: Scope, signed: Signed | None, body: bytes) -> Refusal | None:
        """Judge a reply by whose it is and by its size so far."""
        if signed is None:
            return None
        if scope["path"] == PUSH_MESSAGES:
            self._sent[signed.key] = 0
            return None if _is_own(body) else Refusal(403, "reply in another node's name")
        if scope["path"] == PUSH_OBJECT:
            self._sent[signed.key] = self._sent.get(signed.key, 0) + len(body)
            if self._sent[signed.key] > self._largest_reply:
                return TOO_LARGE
        return None


def _signed(headers: Headers) -> Signed | None:
    """Read who signed a request; None if the signature is missing or unsound."""
    try:
        key = b64decode(headers[flower.FLEET_HTTP_PUBLIC_KEY_HEADER], validate=True)
        signature = b64decode(headers[flower.FLEET_HTTP_SIGNATURE_HEADER], validate=True)
        moment = headers[flower.TIMESTAMP_HEADER]
        sound = flower.verify_signature(flower.bytes_to_public_key(key), moment.encode("ascii"), signature)
    except (KeyError, ValueError, TypeError, binascii.Error):
        return None
    return Signed(key, moment) if sound else None


def _is_local(scope: Scope) -> bool:
    """Whether a request comes from this machine: one that speaks to itself has the same address at both ends."""
    client, server = scope.get("client"), scope.get("server")
    return client is not None and (client[0] in LOOPBACK or (server is not None and client[0] == server[0]))


def _is_own(body: bytes) -> bool:
    """Whether all replies of a request are from the node that Flower compares with the key."""
    try:
        request = flower.PushMessagesRequest.FromString(body)
    except DecodeError:
        return False
    return all(message.metadata.src_node_id == request.node.node_id for message in request.messages_list)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """Read a request's body; None if it has more than `limit` bytes."""
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """Hand on a body that was read, and then what comes after it."""
    left = [body]

    async def hand_on() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return hand_on


def _noting(scope: Scope, send: Send) -> Send:
    """Write down what Flower refuses to other nodes."""

    async def hand_on(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400 and scope["path"].startswith(FLEET):
            _note(scope, f"Flower answers {message['status']}")
        await send(message)

    return hand_on


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    _note(scope, refusal.why)
    if scope["type"] == "http":
        await JSONResponse({"message": refusal.why}, refusal.status)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008})


def _note(scope: Scope, why: str) -> None:
    """Write down a refusal; the path is quoted, since whoever sent it chose it."""
    client = scope.get("client")
    logger.warning("refused: %s for %.80r: %s", client[0] if client else "unknown", scope["path"], why)
