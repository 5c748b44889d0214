import asyncio
from base64 import b64decode, b64encode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message, Metadata
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from starlette.responses import PlainTextResponse

from collab_asd.deployment.gate import Gate

KEY = ec.generate_private_key(ec.SECP384R1())
P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


async def flower(scope, receive, send):
    """Answers with the number of bytes that it was sent."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await PlainTextResponse(str(size), 401 if scope["path"].endswith("/denied") else 200)(scope, receive, send)


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


def reply(own, *senders):
    request = PushMessagesRequest(messages_list=[Message(metadata=Metadata(src_node_id=sender)) for sender in senders])
    request.node.node_id = own
    return request.SerializeToString()


@pytest.mark.parametrize(
    "path", ["/v1/control/start-run", "/v1/control/register-node", "/v1/runtime/acquire-task", "/docs"]
)
@pytest.mark.parametrize(("client", "status"), [("10.0.0.9", 403), ("127.0.0.1", 200), ("::1", 200)])
def test_what_starts_runs_is_for_the_machine_itself(path, client, status):
    assert ask(Gate(flower), path, client=client).status_code == status


def test_refusals_are_logged(caplog):
    ask(Gate(flower), "/v1/control/start-run%0A", client="10.0.0.9")
    ask(Gate(flower), "/v1/fleet/denied")
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
    ("senders", "status"),
    [((5,), 200), ((6,), 403), ((5, 5), 200), ((5, 6), 403), ((6, 5), 403), ((5, 6, 5), 403), ((0,), 403)],
)
def test_reply_is_taken_from_its_sender(senders, status):
    """One stranger's name among many replies is enough."""
    assert ask(Gate(flower), "/v1/fleet/push-messages", reply(5, *senders), signed()).status_code == status


def test_what_is_no_reply_is_not_taken():
    assert ask(Gate(flower), "/v1/fleet/push-messages", b"\xff", signed()).status_code == 403


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413)])
def test_request_has_a_limit(size, status):
    assert ask(Gate(flower, largest_request=100), "/v1/fleet/push-object", bytes(size)).status_code == status


def test_reply_has_a_limit_for_each_node():
    gate = Gate(flower, largest_reply=250)
    other = ec.generate_private_key(ec.SECP384R1())

    def push(key=KEY):
        return ask(gate, "/v1/fleet/push-object", bytes(100), signed(key)).status_code

    assert [push(), push(), push(), push(other)] == [200, 200, 413, 200]
    ask(gate, "/v1/fleet/push-messages", reply(5, 5), signed())
    assert push() == 200


def test_body_comes_through_whole():
    assert ask(Gate(flower), "/v1/fleet/push-object", bytes(12345)).text == "12345"
