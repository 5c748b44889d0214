"""What is tried against a consortium of real processes on loopback: each is refused and logged, and nothing leaks."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import zipfile
from io import BytesIO

import httpx
import numpy as np
import pytest
import soundfile
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import Message, Metadata, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from collab_asd.deployment.certificates import load_node_key, make_node_key
from collab_asd.deployment.check import check_folder
from collab_asd.deployment.flower import registered, status, submit
from collab_asd.deployment.processes import environment

pytestmark = pytest.mark.slow
MEDIA = {"content-type": "application/protobuf", "accept": "application/protobuf"}
WORDS = ("SecretPump", "quietnight", "Hall200", "Hall320", "recordings", ".wav", ".csv", "anomal")
SECONDS = 60


# What one whole run says


def test_run_was_heard(consortium):
    """Otherwise the next tests would find nothing in nothing."""
    assert (consortium.results / "summary.json").exists()
    for word in (b"train.embeddings", b"evaluate.score", b"\x93NUMPY", b"/v1/fleet/push-object"):
        assert word in consortium.heard["up"]
    pages = json.loads((consortium.results / "summary.json").read_text())["bytes_up"]
    assert len(consortium.heard["up"]) > sum(pages.values())


@pytest.mark.parametrize("way", ["up", "down"])
def test_no_name_path_or_label_is_on_the_wire(consortium, way):
    heard = consortium.heard[way]
    own = [str(consortium.folder / f"client-{k}") for k in (0, 1)]
    for word in (*WORDS, *own):
        assert word.encode() not in heard, word


def test_no_audio_is_on_the_wire(consortium):
    heard = consortium.heard["up"]
    for path in sorted(consortium.folder.glob("client-*/recordings/*.wav")):
        samples, _ = soundfile.read(path, dtype="int16")
        for start in range(0, len(samples) - 16, 4000):
            piece = samples[start : start + 16]
            assert piece.tobytes() not in heard
            assert (piece / np.float32(32768)).astype(np.float32).tobytes() not in heard


def test_no_key_is_on_the_wire_or_with_the_server(consortium):
    secrets = [(consortium.folder / "client-0" / name).read_bytes() for name in ("encoder.key", "pseudonym.key")]
    places = [
        *consortium.heard.values(),
        *(f.read_bytes() for f in (consortium.folder / "server").rglob("*") if f.is_file()),
    ]
    for secret in secrets:
        assert not any(spelt in place for place in places for spelt in (secret, secret.hex().encode()))


def test_configuration_that_clients_get_names_no_path(consortium):
    """The bundle is compressed, so that a search of what was heard would not find it."""
    heard = consortium.heard["down"]
    at = heard.index(b"PK\x03\x04")
    end = heard.index(b"PK\x05\x06", at) + 22
    with zipfile.ZipFile(BytesIO(heard[at:end])) as bundle:
        text = bundle.read("pyproject.toml").decode()
    assert 'method = "embedding-sharing"' in text
    assert str(consortium.folder) not in text


def test_private_keys_are_in_no_log(consortium):
    logs = "".join(consortium.log(party) for party in ("server", "client-0", "client-1"))
    assert "PRIVATE KEY" not in logs
    assert not any(
        line in logs for line in (consortium.folder / "client-0" / "node.key").read_text().splitlines()[1:-1]
    )


def test_other_users_of_a_machine_can_read_no_result(consortium):
    written = [*consortium.folder.rglob("*.safetensors"), *consortium.folder.rglob("scores.csv")]
    assert {path.name for path in written} >= {"detector.safetensors", "scores.csv", "server.safetensors"}
    assert not [path for path in written if path.stat().st_mode & 0o077]


# Who comes with the wrong key, or to the wrong server


@pytest.fixture(scope="module")
def visits(consortium, impostor, listening, free_ports, tmp_path_factory):
    """SuperNodes that all start at once: what each said in the end, and how many bytes an impostor was told."""
    client, folder = consortium.folder / "client-0", tmp_path_factory.mktemp("visits")
    make_node_key(folder)
    ca, key, door = ("--root-certificates", client / "ca.crt"), client / "node.key", consortium.server.port
    with contextlib.ExitStack() as stack:
        ports = dict(zip(("expired", "authority", "name"), free_ports(3), strict=True))
        listeners = {
            "expired": stack.enter_context(listening("127.0.0.1", ports["expired"], impostor(days=0))),
            "authority": stack.enter_context(listening("127.0.0.1", ports["authority"], impostor(9, "its own"))),
            "name": stack.enter_context(listening("127.0.0.2", ports["name"], consortium.folder / "server")),
        }
        given = {
            "expired": (*ca, "--superlink", f"127.0.0.1:{ports['expired']}", "--auth-supernode-private-key", key),
            "authority": (*ca, "--superlink", f"127.0.0.1:{ports['authority']}", "--auth-supernode-private-key", key),
            "name": (*ca, "--superlink", f"127.0.0.2:{ports['name']}", "--auth-supernode-private-key", key),
            "no CA": ("--superlink", f"127.0.0.1:{door}", "--auth-supernode-private-key", key),
            "plain text": ("--insecure", "--superlink", f"127.0.0.1:{door}"),
            "stranger": (*ca, "--superlink", f"127.0.0.1:{door}", "--auth-supernode-private-key", folder / "node.key"),
        }
        processes = {
            name: _supernode(folder / f"{name}.txt", [*arguments, "--port", port])
            for (name, arguments), port in zip(given.items(), free_ports(6), strict=True)
        }
        said = {name: _end(process, folder / f"{name}.txt") for name, process in processes.items()}
        yield said, {name: bytes(listener.heard["up"]) for name, listener in listeners.items()}


def _supernode(log, arguments):
    """Start a SuperNode; what it says goes to a file."""
    command = ["flower-supernode", "--isolation", "process", "--max-retries", "0", *map(str, arguments)]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=environment(log.parent), cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def _end(process, log):
    """Wait for a process that should end by itself."""
    try:
        process.wait(SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, log.read_text(errors="replace")


@pytest.mark.parametrize(
    ("visit", "why"),
    [
        ("expired", "certificate has expired"),
        ("authority", "certificate verify failed"),
        ("name", "IP address mismatch"),
        ("no CA", "certificate verify failed"),
        ("plain text", "Failed to initialize the connection"),
        ("stranger", "Failed to initialize the connection"),
    ],
)
def test_connection_is_refused(visits, visit, why):
    said, told = visits
    code, output = said[visit]
    assert (code, why in output) == (1, True), output
    assert not told.get(visit)


def test_refusals_are_in_the_servers_log(visits, consortium):
    log = consortium.log("server")
    assert "refused: 127.0.0.1 for '/v1/fleet/activate-node': not signed by a key of the consortium" in log
    assert "[SSL: HTTP_REQUEST]" in log
    assert "[SSL: TLSV1_ALERT_UNKNOWN_CA]" in log


# Requests that no honest SuperNode makes


@pytest.fixture
def ask(consortium):
    """Sends one request to the SuperLink, signed by a client's key."""
    context = ssl.create_default_context(cafile=consortium.folder / "client-0" / "ca.crt")

    def send(path, content, key=None, headers=None, source="127.0.0.1"):
        with httpx.Client(transport=httpx.HTTPTransport(verify=context, local_address=source)) as client:
            url = f"https://127.0.0.1:{consortium.server.port}{path}"
            body = content.SerializeToString()
            request = client.build_request("POST", url, content=body, headers=MEDIA | (headers or {}))
            if key is not None:
                call = ProtobufRequestContext("", content, request)
                NodeAuthHttpInterceptor(key, key.public_key()).intercept(call, lambda _: None)
            return client.send(request), request.headers

    return send


@pytest.fixture
def node(consortium):
    """Key and ID of client 0, which is registered and connected."""
    by_name = {each["name"]: int(each["node-id"]) for each in registered(consortium.server).values()}
    return load_node_key(consortium.folder / "client-0" / "node.key"), by_name["client-0"], by_name["client-1"]


@pytest.fixture
def newly_logged(consortium):
    """Whether the server has logged a text since the test began, or does so soon: a line may come after the answer."""
    before = len(consortium.log("server"))

    def logged(text, seconds=20):
        deadline = time.monotonic() + seconds
        while text not in consortium.log("server")[before:]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    return logged


def test_request_sent_again(ask, node, newly_logged):
    key, own, _ = node
    beat = SendNodeHeartbeatRequest(node=Node(node_id=own), heartbeat_interval=30)
    reply, headers = ask("/v1/fleet/send-node-heartbeat", beat, key)
    again, _ = ask("/v1/fleet/send-node-heartbeat", beat, None, {k: v for k, v in headers.items() if "flwr" in k})
    assert (reply.status_code, again.status_code) == (200, 503)
    assert newly_logged("'/v1/fleet/send-node-heartbeat': signature was used before")


def test_signature_of_one_who_is_not_known(ask, newly_logged):
    key = ec.generate_private_key(ec.SECP384R1())
    request = ActivateNodeRequest(public_key=public_key_to_bytes(key.public_key()), heartbeat_interval=30)
    assert ask("/v1/fleet/activate-node", request, key)[0].status_code >= 400
    assert newly_logged("refused: 127.0.0.1 for '/v1/fleet/activate-node'")


def test_no_signature(ask, node, newly_logged):
    beat = SendNodeHeartbeatRequest(node=Node(node_id=node[1]), heartbeat_interval=30)
    assert ask("/v1/fleet/send-node-heartbeat", beat)[0].status_code == 401
    assert newly_logged("not signed by a key of the consortium")


def test_another_nodes_name_under_ones_own_key(ask, node, newly_logged):
    key, _, other = node
    beat = SendNodeHeartbeatRequest(node=Node(node_id=other), heartbeat_interval=30)
    assert ask("/v1/fleet/send-node-heartbeat", beat, key)[0].status_code == 401
    assert newly_logged("Flower answers 401")


def test_answer_for_another(ask, node, newly_logged):
    key, own, other = node
    metadata = Metadata(src_node_id=other, reply_to_message_id="any")
    push = PushMessagesRequest(node=Node(node_id=own), messages_list=[Message(metadata=metadata)])
    assert ask("/v1/fleet/push-messages", push, key)[0].status_code == 403
    assert newly_logged("'/v1/fleet/push-messages': reply in another node's name")


def test_message_that_is_too_large(ask, node, newly_logged):
    key, own, _ = node
    push = PushObjectRequest(node=Node(node_id=own), object_content=bytes(33 * 2**20))
    assert ask("/v1/fleet/push-object", push, key)[0].status_code == 413
    assert newly_logged("request or reply is too large")


@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/control/register-node", "/v1/runtime/acquire-task"])
def test_run_from_another_machine(ask, node, newly_logged, path):
    assert ask(path, StartRunRequest(), node[0], source="127.0.0.2")[0].status_code == 403
    assert newly_logged(f"refused: 127.0.0.2 for '{path}': only this machine")


def test_plain_text_gets_no_answer(consortium, newly_logged):
    with socket.create_connection(("127.0.0.1", consortium.server.port), timeout=10) as plain:
        plain.sendall(b"POST /v1/fleet/activate-node HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(100)
    assert newly_logged("refused: a connection that is not TLS")


# A run that brings code of its own

EVIL = """
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

client = ClientApp()
server = ServerApp()
MARK = Path({mark!r})


@client.query("hello")
def hello(message, context):
    MARK.write_text("ran at the client")
    return Message(RecordDict(), reply_to=message)


@server.main()
def main(grid, context):
    sent = [Message(RecordDict(), node, "query.hello") for node in grid.get_node_ids()]
    replies = grid.send_and_receive(sent, timeout=40)
    Path({said!r}).write_text("\\n".join(r.error.reason if r.has_error() else "answered" for r in replies))
"""


def test_code_that_a_run_brings_does_not_run_at_a_client(consortium, tmp_path):
    app, mark, said = tmp_path / "app", tmp_path / "mark", tmp_path / "said"
    app.mkdir()
    (app / "evil.py").write_text(EVIL.format(mark=str(mark), said=str(said)))
    (app / "pyproject.toml").write_text(
        '[project]\nname = "evil"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "x"\n'
        '[tool.flwr.app.components]\nserverapp = "evil:server"\nclientapp = "evil:client"\n[tool.flwr.app.config]\n'
    )
    lines = []
    submit(consortium.server, app, tmp_path / "submitted", lines.append)
    assert said.exists(), lines
    assert said.read_text().count("the bundle holds code") == 2
    assert not mark.exists()
    assert "the bundle holds code" in consortium.log("client-0")


def test_check_and_status_say_what_is_there(consortium):
    findings = {finding.subject: finding for finding in check_folder(consortium.folder / "client-1")}
    assert [finding for finding in findings.values() if not finding.well] == []
    assert findings["server"].says.startswith("reached over TLS, and it is the right one")
    assert "client-1.pub" in findings["registration"].says
    lines = list(status(consortium.server))
    assert [line.partition(" (")[0] for line in lines[1:3]] == ["client-0: connected", "client-1: connected"]
    assert any(line.endswith("finished") for line in lines)
    for trace_of_asking in ("GET / ", "ConnectionResetError"):
        assert trace_of_asking not in consortium.log("server")
