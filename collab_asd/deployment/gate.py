"""What the SuperLink refuses before Flower sees it.

One port carries all of Flower's interfaces, and those by which runs are started and keys registered ask nobody who they
are. A SuperNode signs the time of a request and nothing else, may send a reply in another's name, and of any size. The
gate leaves the SuperNodes' interface alone to other machines, reads nothing further of who has no registered key, takes
a signature once, a reply from its sender, and no more bytes of a reply than agreed, whatever is sent in between.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import time
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from cachetools import LRUCache, TTLCache
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from google.protobuf.message import DecodeError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collab_asd.deployment.connections import LOOPBACK, STATE_KEY
from collab_asd.deployment.logs import Refusals
from collab_asd.federation import flwr_compat as flower

FLEET = flower.FLEET_PATH
ACTIVATE_NODE = FLEET + "activate-node"
PROBE_PATH = "/"
"""What is asked to learn that the server is there, and by whose key it lets one in."""
PUSH_MESSAGES, PUSH_OBJECT = FLEET + "push-messages", FLEET + "push-object"
LARGEST_REQUEST = 32 * 2**20  # bytes; Flower sends messages in objects of 5 MiB
LARGEST_REPLY = 256 * 2**20
HELD_OF_PARTY = 2 * LARGEST_REQUEST  # bytes of requests at once; Flower sends two objects at once
PATIENCE, SLOWEST = 15.0, 8 * 2**10  # seconds, and bytes per second after them, that a body must come within
REMEMBERED = 100_000  # signatures
UNKNOWN_TASK = ""
REPLIES, OBJECTS = 10_000, 10_000  # whose bytes are counted; that one node may be asked for at once
FRESH_SECONDS, REGISTER_SECONDS = 1.0, 60.0
SIGNED_SECONDS = flower.TIMESTAMP_TOLERANCE + 2 * flower.SYSTEM_TIME_TOLERANCE  # so long Flower takes a signature


class Refusal(NamedTuple):
    """An HTTP status, and why."""

    status: int
    why: str


class Signed(NamedTuple):
    """Whose key signed what time. The signature itself can be written in more than one way."""

    key: bytes
    moment: str


class Reply(NamedTuple):
    """A task's reply: whose key signs it, and which message it replies to."""

    key: bytes
    task: str


TOO_LARGE = Refusal(413, "request or reply is too large")
TOO_SLOW = Refusal(408, "request comes too slowly")
TOO_MUCH = Refusal(503, "too much is being sent at once")  # 503: an honest node repeats


class Gate:
    """ASGI middleware that stands before all others.

    Parameters
    ----------
    app : ASGIApp
    largest_request, largest_reply : int
        Bytes of one request, and of all objects of one reply.
    name_of : callable, optional
        Under which name the consortium knows a public key, in PEM; empty: it is none of the consortium's. By default
        each is.
    refusals : Refusals, optional
    """

    def __init__(
        self,
        app: ASGIApp,
        largest_request: int = LARGEST_REQUEST,
        largest_reply: int = LARGEST_REPLY,
        name_of: Callable[[bytes], str] = lambda key: "a node",
        refusals: Refusals | None = None,
    ) -> None:
        self._app, self._largest_request, self._largest_reply = app, largest_request, largest_reply
        self._name_of, self._refusals = name_of, refusals or Refusals()
        self._used: TTLCache[Signed, bool] = TTLCache(REMEMBERED, SIGNED_SECONDS)
        self._sent: LRUCache[Reply, int] = LRUCache(REPLIES)
        self._wanted: defaultdict[bytes, LRUCache[str, Reply]] = defaultdict(lambda: LRUCache(OBJECTS))
        self._held: Counter[object] = Counter()
        self._begun, self._answered = time.monotonic(), dict[bytes, float]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on and note whether Flower refused it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"] == PROBE_PATH:
            await self._answer_probe(scope, receive, send)
            return
        signed = _signed(Headers(scope=scope), self._name_of) if scope["path"].startswith(FLEET) else None
        if refusal := self._by_head(scope, signed):
            await self._refuse(refusal, scope, receive, send, close=True)
            return
        if signed is not None and (connection := scope.get("state", {}).get(STATE_KEY)):
            connection.known(signed.key)
        with self._holding(signed.key if signed else _address(scope)) as take:
            body = await self._read(receive, take)
            refusal = body if isinstance(body, Refusal) else self._by_body(scope, signed, body)
            if isinstance(body, bytes) and refusal is None:
                await self._app(scope, _once(body, receive), self._noting(scope, signed, body, send))
        if refusal is not None:
            await self._refuse(refusal, scope, receive, send)

    async def _answer_probe(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell anybody that the server is there, and who has signed the request under which name it knows the key.

        This machine is told, too, how many seconds ago Flower has last answered each node, and the server began.
        """
        signed = _signed(Headers(scope=scope), self._name_of)
        name = "" if signed is None or signed in self._used else self._name_of(signed.key)
        if signed is not None:
            self._used[signed] = True
        content: dict[str, Any] = {"name": name}
        if _is_local(scope):
            now = time.monotonic()
            silent = {self._name_of(key): now - answered for key, answered in self._answered.items()}
            content |= {"silent": silent, "up": now - self._begun}
        await JSONResponse(content, headers={"connection": "close"})(scope, receive, send)

    def _by_head(self, scope: Scope, signed: Signed | None) -> Refusal | None:
        """Judge a request by where it comes from and how it is signed."""
        if scope["type"] != "http":
            return Refusal(403, "no such interface")
        if not scope["path"].startswith(FLEET):
            if not _is_local(scope):
                return Refusal(403, "only this machine may use this interface")
        elif signed is None:
            return Refusal(412 if scope["path"] == ACTIVATE_NODE else 401, "not signed by a key of the consortium")
        elif signed in self._used:
            return Refusal(503, "signature was used before")  # 503: an honest node signs anew and repeats
        else:
            self._used[signed] = True
        return None

    @contextmanager
    def _holding(self, party: object) -> Iterator[Callable[[int], bool]]:
        """Count the bytes that are held of a party's requests; gives what takes more, and says if that is too much."""
        own = 0

        def take(size: int) -> bool:
            nonlocal own
            own += size
            self._held[party] += size
            return self._held[party] <= HELD_OF_PARTY

        try:
            yield take
        finally:
            self._held[party] -= own
            if not self._held[party]:
                del self._held[party]

    async def _read(self, receive: Receive, take: Callable[[int], bool]) -> bytes | Refusal:
        """Read a request's body, or say what is wrong with how it comes."""
        parts, size, begun = list[bytes](), 0, time.monotonic()
        while True:
            try:
                async with asyncio.timeout(begun + PATIENCE + size / SLOWEST - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                return TOO_SLOW
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._largest_request:
                return TOO_LARGE
            if not take(len(parts[-1])):
                return TOO_MUCH
            if message["type"] != "http.request" or not message.get("more_body", False):
                return b"".join(parts)

    def _by_body(self, scope: Scope, signed: Signed | None, body: bytes) -> Refusal | None:
        """Judge a reply by whose it is and by its size so far.

        What Flower was not seen to ask for is counted as one reply more of a node: Flower itself takes none of it but
        what it has asked for before it was started again.
        """
        if signed is None:
            return None
        if scope["path"] == PUSH_MESSAGES:
            return None if _is_own(body) else Refusal(403, "reply in another node's name")
        if scope["path"] == PUSH_OBJECT:
            reply = self._wanted[signed.key].get(_object_id(body), Reply(signed.key, UNKNOWN_TASK))
            self._sent[reply] = self._sent.get(reply, 0) + len(body)
            if self._sent[reply] > self._largest_reply:
                return TOO_LARGE
        return None

    def _noting(self, scope: Scope, signed: Signed | None, body: bytes, send: Send) -> Send:
        """Write down what Flower refuses to nodes; note whom it answers, and which objects of a reply it asks for."""
        status, answer = 0, bytearray()

        async def hand_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and scope["path"].startswith(FLEET):
                    self._note(scope, f"Flower answers {status}")
                elif signed is not None:
                    self._answered[signed.key] = time.monotonic()
            elif scope["path"] == PUSH_MESSAGES and signed is not None and status < 400:
                answer.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    self._await_objects(signed.key, body, bytes(answer))
            await send(message)

        return hand_on

    def _await_objects(self, key: bytes, request: bytes, answer: bytes) -> None:
        """Note what Flower asks for of a reply: nothing if it knows no such task."""
        replies = flower.PushMessagesRequest.FromString(request).messages_list
        wanted = flower.PushMessagesResponse.FromString(answer).objects_to_push
        for object_id in wanted:
            self._wanted[key][object_id] = Reply(key, replies[0].metadata.reply_to_message_id)

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send, close: bool = False) -> None:
        """Answer with a refusal; where that ends the connection, no more of what is said is read."""
        self._note(scope, refusal.why)
        if scope["type"] == "http":
            headers = {"connection": "close"} if close else {}
            answer = JSONResponse({"message": refusal.why}, refusal.status, headers)
            await answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _note(self, scope: Scope, why: str) -> None:
        """Write down a refusal; the path is quoted, since whoever sent it chose it."""
        self._refusals.note(_address(scope), f"{_address(scope)} for {scope['path']!r:.80}: {why}", why)


class NodeKeys:
    """The public keys in a server's ``nodes/``, and the names of their files: whose they are, may connect.

    A key that Flower has not registered within a minute it refuses, as one that was taken out before: it is none.

    Parameters
    ----------
    folder : Path
    registered : Path
        File of what Flower has registered (`collab_asd.deployment.flower.nodes_file`).
    """

    def __init__(self, folder: Path, registered: Path) -> None:
        self._folder, self._registered = folder, registered
        self._names, self._read_at, self._since = dict[bytes, str](), -FRESH_SECONDS, dict[bytes, float]()

    def __call__(self, key: bytes) -> str:
        """Return the name under which the folder holds a key, as PEM; empty: it does not, or Flower refuses it."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            self._names, self._read_at = self._load(), time.monotonic()
        return self._names.get(key, "")

    def _load(self) -> dict[bytes, str]:
        names, registered, now = dict[bytes, str](), set[bytes](), time.monotonic()
        for path in self._folder.glob("*.pub"):
            with suppress(ValueError, UnsupportedAlgorithm, OSError):
                names[_pem(path.read_bytes())] = path.stem
        with suppress(ValueError, OSError):
            registered = {_pem(line.encode()) for line in json.loads(self._registered.read_bytes())}
        self._since = {key: self._since.get(key, now) for key in names}
        return {k: name for k, name in names.items() if k in registered or now - self._since[k] < REGISTER_SECONDS}


def _pem(line: bytes) -> bytes:
    """Write a public key, as it stands in ``node.pub``, in the form in which Flower's nodes send it."""
    return load_ssh_public_key(line).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _signed(headers: Headers, name_of: Callable[[bytes], str]) -> Signed | None:
    """Read who signed a request; None if the signature is missing or unsound, or its key nobody's who may connect."""
    try:
        key = b64decode(headers[flower.FLEET_HTTP_PUBLIC_KEY_HEADER], validate=True)
        if not name_of(key):
            return None
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
    """Whether a request holds replies alone, and all are from the node that Flower compares with the key."""
    try:
        request = flower.PushMessagesRequest.FromString(body)
    except DecodeError:
        return False
    replies = [message.metadata for message in request.messages_list]
    return all(reply.src_node_id == request.node.node_id and reply.reply_to_message_id for reply in replies)


def _object_id(body: bytes) -> str:
    try:
        return str(flower.PushObjectRequest.FromString(body).object_id)
    except DecodeError:
        return ""


def _once(body: bytes, receive: Receive) -> Receive:
    """Hand on a body that was read, and then what comes after it."""
    left = [body]

    async def hand_on() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return hand_on
