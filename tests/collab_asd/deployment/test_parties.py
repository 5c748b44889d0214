"""What the start scripts say before anything is started."""

import signal
import socket
import subprocess
import sys
import tomllib

import pytest
import yaml

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.deployment.check import run_config
from collab_asd.deployment.consortium import Consortium
from collab_asd.deployment.run import keep_node, keep_server, require_startable, run
from collab_asd.deployment.settings import ServerSettings
from collab_asd.federation.engines import _free_ports


@pytest.fixture
def made(tmp_path):
    (port,) = _free_ports(1)
    Consortium(2, ["localhost"], RunConfig(encoder="logmel"), port).write(tmp_path / "c")
    return tmp_path / "c"


def nothing_starts(monkeypatch):
    monkeypatch.setattr("collab_asd.deployment.run.supervise", lambda *_: pytest.fail("was started"))


@pytest.mark.parametrize("name", ["ca.crt", "node.key", "agreement.toml"])
def test_a_node_without_a_file_is_not_started(made, monkeypatch, name):
    nothing_starts(monkeypatch)
    (made / "client-1" / name).unlink()
    with pytest.raises(InputError, match=rf"client-1/{name}: No such file or directory; INVENTORY.md"):
        keep_node(made / "client-1")


def test_a_port_in_use_is_said(made, monkeypatch):
    nothing_starts(monkeypatch)
    server = ServerSettings.load(made / "server")
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(InputError, match=f"port {server.port} "):
        keep_server(made / "server")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_waits_for_its_server_ends_with_0_when_it_is_stopped(made, machines, number):
    settings = made / "client-0" / "node.toml"
    (own,) = _free_ports(1)
    text = settings.read_text().replace('data-dir = ""', f'data-dir = "{machines}"')
    settings.write_text(text.replace("port = 9451", f"port = {own}"))
    command = [sys.executable, "-m", "collab_asd.cli.main", "deploy", "node", str(made / "client-0")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as node:
        said = next(line for line in node.stderr if "waiting for the server" in line)
        node.send_signal(number)
        rest = node.stderr.read()
    assert "cannot be reached" in said
    assert (node.returncode, "stopped" in rest, "Traceback" in rest) == (0, True, False)


def test_start_script_says_that_the_program_is_missing(made):
    done = subprocess.run(
        [made / "client-0" / "start.sh"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "collab-asd is not installed" in done.stderr) == (1, True)


@pytest.mark.parametrize(("more", "says"), [({"min-clients": 5}, "min-clients = 5"), ({}, "")])
def test_a_run_with_fewer_keys_than_clients_is_refused_before_it_is_sent(made, monkeypatch, tmp_path, more, says):
    monkeypatch.setattr("collab_asd.deployment.run.submit", lambda *_: pytest.fail("was sent"))
    monkeypatch.setattr("collab_asd.deployment.run.is_open", lambda *_: True)
    server = ServerSettings.load(made / "server")
    if says:
        with pytest.raises(InputError, match=rf"nodes: holds 2 public keys, and {says}: .*--set min-clients=2"):
            run(server, tmp_path / "out", more, print)
    else:
        assert require_startable(server, tmp_path / "out", more)[0].min_clients == 2


def test_server_may_set_what_needs_no_agreement_and_nothing_else(made):
    server = ServerSettings.load(made / "server")
    assert run_config(server, {"epochs": 7}).epochs == 7
    assert run_config(server, {}).min_clients == 2
    with pytest.raises(InputError, match=r"codec = fp32 \(agreed: pool:8\+pca:64\+int8\)"):
        run_config(server, {"codec": "fp32"})


def test_compose_files_open_the_servers_port_and_no_other(made):
    compose = {party: yaml.safe_load((made / party / "compose.yml").read_text()) for party in ("server", "client-0")}
    port = tomllib.loads((made / "server" / "server.toml").read_text())["port"]
    assert compose["server"]["services"]["server"]["ports"] == [f"{port}:{port}"]
    assert "ports" not in compose["client-0"]["services"]["client-0"]
