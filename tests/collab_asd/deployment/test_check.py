"""What a check of a party's folder says: each fault in words."""

import re
import shutil
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.deployment.certificates import make_authority, make_server_certificate
from collab_asd.deployment.check import check_folder
from collab_asd.deployment.consortium import Consortium
from collab_asd.deployment.run import keep_node
from collab_asd.federation.agreement import Agreement
from collab_asd.federation.bases import BasisLedger
from collab_asd.federation.engines import _free_ports


class Dated(BaseHTTPRequestHandler):
    """Says what time it is, as an HTTP server does, on a clock that is off by some seconds."""

    off, says = 0.0, b""

    def do_GET(self):
        self.send_response_only(200)
        self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(seconds=self.off), usegmt=True))
        self.end_headers()
        self.wfile.write(self.says)

    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def made(tmp_path_factory, machines):
    folder = tmp_path_factory.mktemp("checked") / "consortium"
    port, own = _free_ports(2)
    Consortium(2, ["127.0.0.1"], RunConfig(encoder="logmel"), port).write(folder)
    settings = folder / "client-0" / "node.toml"
    text = (
        settings.read_text()
        .replace('data-dir = ""', f'data-dir = "{machines}"')
        .replace("port = 9451", f"port = {own}")
    )
    settings.write_text(text)
    return folder, port


@pytest.fixture
def node(made, tmp_path):
    return shutil.copytree(made[0] / "client-0", tmp_path / "client-0")


@pytest.fixture
def serve(made):
    """Answers on the server's port with a certificate, and a clock that is so many seconds behind."""
    servers = []

    def start(certificate=made[0] / "server", off=0.0, says='{"name": "client-0"}'):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate / "server.crt", certificate / "server.key")
        server = HTTPServer(("127.0.0.1", made[1]), type("Off", (Dated,), {"off": off, "says": says.encode()}))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def wrong(folder):
    return {finding.subject: finding.says for finding in check_folder(folder) if not finding.well}


def told(folder):
    return {finding.subject: finding.says for finding in check_folder(folder)}


def test_nothing_is_wrong_with_a_node_that_can_join(node, serve):
    serve()
    assert wrong(node) == {}


def test_bases_that_were_sent_by_are_counted(node, serve):
    serve()
    assert told(node)["encoder"].endswith("; 0 of 4 codec-bases used")
    (node / "results").mkdir(exist_ok=True)
    digest = Agreement.load(str(node / "agreement.toml")).encoder_digest
    BasisLedger(node / "results" / "codec-bases", digest, run=1).admit("a")
    assert told(node)["encoder"].endswith("; 1 of 4 codec-bases used")


def test_server_folder_as_it_was_made_is_well(made):
    assert wrong(made[0] / "server") == {}


def test_server_that_cannot_be_reached(node):
    assert "firewall" in wrong(node)["server"]


def test_server_of_another_authority(node, serve, tmp_path):
    make_authority(tmp_path, "another")
    make_server_certificate(tmp_path, tmp_path, ["127.0.0.1"])
    serve(tmp_path)
    assert "its certificate is refused" in wrong(node)["server"]
    assert "clock" not in wrong(node)["server"]


def test_server_whose_certificate_has_expired(made, node, serve, tmp_path):
    make_server_certificate(made[0] / "authority", tmp_path, ["127.0.0.1"], days=0)
    for name in ("server.crt", "server.key"):
        assert (tmp_path / name).exists()
    serve(tmp_path)
    assert "certificate has expired" in wrong(node)["server"]
    assert f"clock right, which says {datetime.now(UTC):%Y-}" in wrong(node)["server"]


@pytest.mark.parametrize(("off", "says"), [(20, "2. s ahead of"), (-600, "(599|600) s behind")])
def test_clocks_that_are_too_far_apart(node, serve, off, says):
    serve(off=off)
    (said,) = wrong(node).values()
    assert re.match(says, said)
    assert "set-ntp" in said


def test_clock_that_is_a_little_behind_will_do(node, serve):
    serve(off=-60)
    assert wrong(node) == {}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ('{"name": ""}', "does not have this node's key"),
        ('{"name": "client-1"}', "as client-1.pub"),
        ('{"name": 7}', "another version"),
        ('{"name": "client-0", "silent": [1], "up": "x"}', "another version"),
        ("[]", "another version"),
        ("<html>", "another version"),
    ],
)
def test_key_that_the_server_does_not_have(node, serve, answer, says):
    serve(says=answer)
    assert list(wrong(node)) == ["registration"]
    assert says in wrong(node)["registration"]


def test_an_agreement_that_cannot_be_read_is_said_once(made, node, serve):
    serve()
    for folder in (node, shutil.copytree(made[0] / "server", node.parent / "server")):
        (folder / "agreement.toml").write_text("scorer = [")
        assert list(wrong(folder)) == ["agreement"]


def test_parties_with_one_agreement_have_one_digest(node):
    file = node / "agreement.toml"
    agreed = Agreement.load(str(file)).spoken_digest
    lines = file.read_text().splitlines()
    file.write_text("\n".join(["# read by all", "seed = 7", *reversed(lines)]))
    assert Agreement.load(str(file)).spoken_digest == agreed
    digests = {agreed}
    for before, after in {
        "codec-bases = 4": "codec-bases = 5", "share-covariances = true": "share-covariances = false",
        'scorer = "fusion"': 'scorer = "knn"', 'encoder-digest = "': 'encoder-digest = "0', 'flwr = "': 'flwr = "9',
        "share-covariances = true\n": "",
    }.items():  # fmt: skip
        text = "\n".join(lines)
        assert before in text
        file.write_text(text.replace(before, after))
        digests.add(Agreement.load(str(file)).spoken_digest)
    assert len(digests) == 6  # an agreement that does not name share-covariances does not allow it


def replaced(old, new):
    """Change a file by replacing a part of its text."""
    return lambda path: path.write_text(path.read_text().replace(old, new))


FAULTS = {
    "key is missing": ("node.key", lambda path: path.unlink(), "node.key", "INVENTORY.md"),
    "key is empty": ("pseudonym.key", lambda path: path.write_bytes(b""), "pseudonym.key", "is empty"),
    "key is open to others": ("pseudonym.key", lambda path: path.chmod(0o644), "pseudonym.key", "chmod 600"),
    "key is no key": ("node.key", lambda path: path.write_bytes(b"x"), "node.key", "no private key"),
    "another public key": (
        "node.pub", lambda path: shutil.copyfile(path.parents[1] / "other.pub", path), "node.pub", "deploy key"
    ),
    "no agreement": ("agreement.toml", lambda path: path.unlink(), "agreement", "ask whoever set up"),
    "agreement names what does not exist": (
        "agreement.toml", lambda path: path.write_text("colour = 1"), "agreement", "'colour' does not exist"
    ),
    "another version": (
        "agreement.toml", lambda path: path.write_text('collab-asd = "9.9"'), "versions", "agreed on was 9.9"
    ),
    "another encoder": (
        "agreement.toml",
        lambda path: path.write_text('encoder = "logmel"\nencoder-digest = "00"\n'), "encoder", "agreed on was 00"
    ),
    "no authority": ("ca.crt", lambda path: path.unlink(), "server", "not a certificate"),
    "no recordings": (
        "node.toml",
        replaced("data-dir", 'data-dir = "nowhere"\n#'),
        "recordings", "no such folder",
    ),
    "folder of recordings is empty": (
        "node.toml",
        replaced("data-dir", 'data-dir = "empty"\n#'),
        "recordings", "is empty",
    ),
    "no folder of recordings is named": (
        "node.toml",
        replaced("data-dir", 'data-dir = ""\n#'),
        "recordings", "name the folder of your recordings",
    ),
    "recordings that link out of their folder": (
        "node.toml",
        replaced("data-dir", 'data-dir = "linked"\n#'),
        "recordings", "is a link to",
    ),
    "noise was agreed on, and no key for it is named": (
        "agreement.toml",
        replaced("noise-epsilon = 0.0", "noise-epsilon = 10.0"),
        "encoder", "noise-key-file",
    ),
    "what is to be erased is not tagged": (
        "agreement.toml",
        replaced('erase = ""', 'erase = "vendor"'),
        "recordings", "no column 'vendor'",
    ),
    "no pseudonym key is named": (
        "node.toml",
        replaced("pseudonym-key-file", 'pseudonym-key-file = ""\n#'),
        "pseudonym.key", "name the file",
    ),
    "pseudonym key is too short": (
        "pseudonym.key", lambda path: path.write_bytes(b"short"), "pseudonym.key", "too short"
    ),
    "results cannot be written": (
        "node.toml",
        replaced('"results"', '"/proc/results"'),
        "results-dir", "cannot be written",
    ),
    "damaged list of bases": (
        "results/codec-bases",
        lambda path: path.parent.mkdir(exist_ok=True) or path.write_text("x"), "encoder", "is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_folder(node, made, machines, serve, fault):
    serve()
    name, spoil, subject, says = FAULTS[fault]
    shutil.copyfile(made[0] / "client-1" / "node.pub", node.parent / "other.pub")
    (node / "empty").mkdir()
    for recording in machines.rglob("*.wav"):
        link = node / "linked" / recording.relative_to(machines)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(recording)
    spoil(node / name)
    assert says in wrong(node)[subject]
    assert len(wrong(node)) == 1


def test_a_key_that_is_missing_is_said_once(node, serve):
    serve()
    for name, before, after in (
        ("agreement.toml", 'encoder = "logmel"', 'encoder = "random-conv"'),
        ("node.toml", "client = 0", 'client = 0\nencoder-key-file = "encoder.key"'),
    ):
        text = (node / name).read_text()
        assert before in text
        (node / name).write_text(text.replace(before, after))
    assert list(wrong(node)) == ["encoder.key"]


def test_client_that_is_none_of_so_many_is_refused(node):
    (node / "node.toml").write_text((node / "node.toml").read_text().replace("client = 0", "client = 2"))
    with pytest.raises(InputError, match="client = 2 of clients = 2"):
        next(check_folder(node))


@pytest.mark.parametrize(
    "fault", ["no recordings", "folder of recordings is empty", "no folder of recordings is named"]
)
def test_node_without_recordings_does_not_start(node, fault):
    name, spoil, _, says = FAULTS[fault]
    (node / "empty").mkdir()
    spoil(node / name)
    with pytest.raises(InputError, match=says):
        keep_node(node)


def test_node_with_an_agreement_that_cannot_be_read_does_not_start(node):
    (node / "agreement.toml").write_text("scorer = [")
    with pytest.raises(InputError, match=r"agreement\.toml"):
        keep_node(node)


@pytest.mark.parametrize(
    ("key", "says"), [(lambda folder: "no key", "no public key|not a public key"), (Path.read_text, "the same key")]
)
def test_public_keys_of_a_server_are_those_of_different_clients(made, tmp_path, key, says):
    server = shutil.copytree(made[0] / "server", tmp_path / "server")
    (server / "nodes" / "client-2.pub").write_text(key(server / "nodes" / "client-0.pub"))
    assert list(wrong(server)) == ["nodes"]
    assert re.search(says, wrong(server)["nodes"])


@pytest.mark.parametrize(
    ("keys", "run", "says"),
    [
        (1, "min-clients = 2", ["holds 1 public key,", "min-clients = 2", "server.toml"]),
        (1, "", ["holds 1 public key,", "min-clients = 2"]),  # embedding sharing needs two
        (2, "min-clients = 3", ["holds 2 public keys,", "min-clients = 3"]),
        (2, "min-clients = 2", []),
        (1, "min-clients = 1", []),
    ],
)
def test_server_has_the_keys_that_a_run_needs(made, tmp_path, keys, run, says):
    server = shutil.copytree(made[0] / "server", tmp_path / "server")
    replaced("min-clients = 2", run)(server / "server.toml")
    for client in range(keys, 2):
        (server / "nodes" / f"client-{client}.pub").unlink()
    assert list(wrong(server)) == ["nodes"] * bool(says)
    assert all(word in wrong(server)["nodes"] for word in says)


@pytest.mark.parametrize(("run", "says"), [("min-client = 2", "min-clients"), ('codec = "fp32"', "agreed")])
def test_keys_that_every_run_of_a_server_would_be_refused_for(made, tmp_path, run, says):
    server = shutil.copytree(made[0] / "server", tmp_path / "server")
    replaced("min-clients = 2", run)(server / "server.toml")
    assert list(wrong(server)) == ["server.toml"]
    assert says in wrong(server)["server.toml"]


def test_run_keys_of_a_server_are_a_table(made, tmp_path):
    server = shutil.copytree(made[0] / "server", tmp_path / "server")
    replaced("[run]\nmin-clients", "run")(server / "server.toml")
    with pytest.raises(InputError, match=r"server\.toml: run = 2: .*\[run\]"):
        next(check_folder(server))


def test_port_that_is_in_use_is_said(node, serve, made):
    text = (node / "node.toml").read_text()
    serve()
    (node / "node.toml").write_text(text.replace("\nport = ", f"\nport = {made[1]}\n#"))
    findings = {finding.subject: finding.says for finding in check_folder(node)}
    assert findings["port"].startswith(f"{made[1]} is in use")
