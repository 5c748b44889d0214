import asyncio
import json
from base64 import b64decode, b64encode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import Message, Metadata, PushObjectRequest
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from starlette.responses import PlainTextResponse, Response

from collab_asd.deployment import gate as gating
from collab_asd.deployment.gate import Gate, NodeKeys

KEY = ec.generate_private_key(ec.SECP384R1())
P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


async def flower(scope, receive, send):
    """Answers with the number of bytes that it was sent; of replies to message "task…" it asks for two objects."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    if scope["path"].endswith("/push-messages"):
        replies = [each.metadata.reply_to_message_id for each in PushMessagesRequest.FromString(body).messages_list]
        wanted = [f"{task} object {i}" for task in replies for i in (0, 1) if task.startswith("task")]
        answer = Response(PushMessagesResponse(objects_to_push=wanted).SerializeToString())
    else:
        answer = PlainTextResponse(str(len(body)), 401 if scope["path"].endswith("/denied") else 200)
    await answer(scope, receive, send)


def ask(gate, path, body=b"", headers=(), client="10.0.0.9"):
    async def post():
        transport = httpx.ASGITransport(gate, client=(client, 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1:9092") as session:
            return await session.post(path, content=body, headers=headers)

    return asyncio.run(post())


def signed(key=KEY):
    """The headers with which a SuperNode signs one request."""
    request = httpx.Request("POST", "http://x")
    NodeAuthHttpInterceptor(key, key.public_key()).intercept(ProtobufRequestContext("", None, request), lambda _: None)
    return {name: value for name, value in request.headers.items() if name.startswith("flwr-")}


def reply(own, *senders, task="task"):
    named = [Message(metadata=Metadata(src_node_id=sender, reply_to_message_id=task)) for sender in senders]
    request = PushMessagesRequest(messages_list=named)
    request.node.node_id = own
    return request.SerializeToString()


def part(name, size):
    return PushObjectRequest(object_id=name, object_content=bytes(size)).SerializeToString()


@pytest.mark.parametrize(
    "path", ["/v1/control/start-run", "/v1/control/register-node", "/v1/runtime/acquire-task", "/docs"]
)
@pytest.mark.parametrize(("client", "status"), [("10.0.0.9", 403), ("127.0.0.1", 200), ("::1", 200)])
def test_what_starts_runs_is_for_the_machine_itself(path, client, status):
    assert ask(Gate(flower), path, client=client).status_code == status


def test_refusals_are_logged(caplog):
    ask(Gate(flower), "/v1/control/start-run%0A", client="10.0.0.9")
    ask(Gate(flower), "/v1/fleet/denied", headers=signed())
    assert caplog.messages == [
        "refused: 10.0.0.9 for '/v1/control/start-run\\n': only this machine may use this interface",
        "refused: 10.0.0.9 for '/v1/fleet/denied': Flower answers 401",
    ]


def test_signature_is_taken_once():
    gate, first = Gate(flower), signed()
    assert [ask(gate, "/v1/fleet/pull-messages", headers=h).status_code for h in (first, first, signed())] == [
        200,
        503,
        200,
    ]


def test_replay_in_another_spelling_is_one():
    gate, first = Gate(flower), signed()
    ask(gate, "/v1/fleet/pull-messages", headers=first)
    r, s = decode_dss_signature(b64decode(first["flwr-signature"]))
    same = b64encode(encode_dss_signature(r, P384_ORDER - s)).decode()
    again = first | {"flwr-signature": same}
    assert ask(gate, "/v1/fleet/pull-messages", headers=again).status_code == 503


def test_unsound_signature_does_not_stand_in_the_way_of_a_sound_one():
    gate, sound = Gate(flower), signed()
    forged = sound | {"flwr-signature": signed()["flwr-signature"]}
    ask(gate, "/v1/fleet/pull-messages", headers=forged)
    assert ask(gate, "/v1/fleet/pull-messages", headers=sound).status_code == 200


@pytest.mark.parametrize(
    ("senders", "task", "status"),
    [
        ((5,), "a", 200),
        ((6,), "a", 403),
        ((5, 5), "a", 200),
        ((5, 6), "a", 403),
        ((6, 5), "a", 403),
        ((5, 6, 5), "a", 403),
        ((0,), "a", 403),
        ((5,), "", 403),
    ],
)
def test_reply_is_taken_from_its_sender_and_nothing_but_replies(senders, task, status):
    """One stranger's name among many replies is enough."""
    assert ask(Gate(flower), "/v1/fleet/push-messages", reply(5, *senders, task=task), signed()).status_code == status


def test_what_is_no_reply_is_not_taken():
    assert ask(Gate(flower), "/v1/fleet/push-messages", b"\xff", signed()).status_code == 403


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413)])
def test_request_has_a_limit(size, status):
    answer = ask(Gate(flower, largest_request=100), "/v1/fleet/pull-object", bytes(size), signed())
    assert answer.status_code == status


def test_reply_has_a_limit_whatever_comes_between():
    gate = Gate(flower, largest_reply=600)

    def push(task, number, key=KEY):
        return ask(gate, "/v1/fleet/push-object", part(f"{task} object {number}", 200), signed(key)).status_code

    def announce(task, key=KEY):
        return ask(gate, "/v1/fleet/push-messages", reply(5, 5, task=task), signed(key)).status_code

    other = ec.generate_private_key(ec.SECP384R1())
    assert (announce("task 1"), announce("task 1", other), announce("task 2")) == (200, 200, 200)
    assert [push("task 1", 0), push("task 1", 1)] == [200, 200]
    assert ask(gate, "/v1/fleet/push-messages", PushMessagesRequest().SerializeToString(), signed()).is_success
    assert announce("task 1") == 200
    assert [push("task 1", 0), push("task 1", 1)] == [413, 413]
    assert [push("task 2", 0), push("task 1", 0, other)] == [200, 200]


def test_what_flower_was_not_seen_to_ask_for_counts_as_one_reply():
    """It asks for nothing of a task that it does not know; after a restart it still wants what it asked for before."""
    gate = Gate(flower, largest_reply=600)
    statuses = []
    for number in range(6):
        ask(gate, "/v1/fleet/push-messages", reply(5, 5, task=f"invented {number}"), signed())
        content = part(f"invented {number} object 0", 200) if number % 2 else b"\xff" * 200
        statuses.append(ask(gate, "/v1/fleet/push-object", content, signed()).status_code)
    assert statuses == [200, 200, 413, 413, 413, 413]


def test_of_who_has_no_key_nothing_is_read():
    """A request without a signature, with an unsound one, and with that of a key that may not connect."""

    async def body():
        yield b"some"
        raise AssertionError("was read on")

    unsound = signed() | {"flwr-signature": signed(ec.generate_private_key(ec.SECP384R1()))["flwr-signature"]}
    for headers, name in (({}, "client-0"), (unsound, "client-0"), (signed(), "")):
        gate = Gate(flower, name_of=lambda key, so=name: so)
        assert ask(gate, "/v1/fleet/push-object", body(), headers).status_code == 401


def test_keys_are_those_of_the_folder(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(gating.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gating, "FRESH_SECONDS", -1)
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    keys = NodeKeys(tmp_path, tmp_path / "nodes.json")
    assert keys(pem) == ""
    (tmp_path / "broken.pub").write_text("no key")
    line = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (tmp_path / "client-0.pub").write_bytes(line + b" of the press shop\n")
    for refused in ("", "{", "{}"):
        (tmp_path / "nodes.json").write_text(refused)
        assert keys(pem) == "client-0"  # Flower may be about to register it
        now[0] += 20.0
    assert keys(pem) == ""  # it refuses to
    (tmp_path / "nodes.json").write_text(json.dumps({line.decode(): {"name": "client-0", "node-id": "7"}}))
    now[0] += 1000.0
    assert keys(pem) == "client-0"
    (tmp_path / "client-0.pub").unlink()
    assert not keys(pem)


def test_a_probe_tells_who_signs_it_under_which_name_the_key_is_known(caplog):
    own = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    gate = Gate(flower, name_of=lambda key: "client-0" if key == own else "")
    first = signed()
    stranger = signed(ec.generate_private_key(ec.SECP384R1()))
    answers = [ask(gate, "/", headers=headers) for headers in (first, first, stranger, {})]
    assert [answer.json()["name"] for answer in answers] == ["client-0", "", "", ""]
    assert ask(gate, "/v1/fleet/pull-messages", headers=first).status_code == 503  # its signature is used up
    assert "'/'" not in caplog.text


def test_this_machine_alone_is_told_how_long_a_node_was_silent(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(gating.time, "monotonic", lambda: now[0])
    gate = Gate(flower, name_of=lambda key: "client-0")
    for path, silent in (("denied", {}), ("pull-messages", {"client-0": 7.0}), ("denied", {"client-0": 14.0})):
        ask(gate, f"/v1/fleet/{path}", headers=signed())
        now[0] += 7.0
        assert ask(gate, "/", client="127.0.0.1").json()["silent"] == silent
    assert ask(gate, "/", client="127.0.0.1").json()["up"] == 21.0
    assert ask(gate, "/", headers=signed()).json() == {"name": "client-0"}


def test_body_that_trickles_is_given_up(monkeypatch):
    monkeypatch.setattr(gating, "PATIENCE", 0.2)

    async def body():
        while True:
            yield b"a"
            await asyncio.sleep(0.05)

    assert ask(Gate(flower), "/v1/fleet/pull-object", body(), signed()).status_code == 408


def test_one_party_cannot_fill_the_memory(monkeypatch):
    monkeypatch.setattr(gating, "HELD_OF_PARTY", 250)
    gate = Gate(flower)

    async def several(keys):
        transport = httpx.ASGITransport(gate, client=("10.0.0.9", 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1:9092") as session:

            async def body():
                yield bytes(100)
                await asyncio.sleep(0.2)
                yield b""

            asked = [session.post("/v1/fleet/pull-object", content=body(), headers=signed(key)) for key in keys]
            return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    assert asyncio.run(several([KEY] * 3)) == [200, 200, 503]
    others = [ec.generate_private_key(ec.SECP384R1()) for _ in range(3)]
    assert asyncio.run(several(others)) == [200, 200, 200]
    assert asyncio.run(several([KEY] * 2)) == [200, 200]


def test_body_comes_through_whole():
    assert ask(Gate(flower), "/v1/fleet/pull-object", bytes(12345), signed()).text == "12345"


def test_body_in_several_parts_comes_through_whole():
    async def parts():
        yield bytes(12000)
        yield bytes(345)

    assert ask(Gate(flower), "/v1/fleet/pull-object", parts(), signed()).text == "12345"
