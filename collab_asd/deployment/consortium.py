"""Write a ready consortium: a folder for the server, one for each client, and one that nobody on the network gets.

``INVENTORY.md`` says who must get which file over which safe way. Each party gets a shell script, a systemd unit and a
compose file to start with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import filling
from collab_asd.core.schemas import AGREEMENT as AGREEMENT_SCHEMA
from collab_asd.deployment.certificates import (
    AUTHORITY,
    SERVER_FOLDER,
    general_name,
    make_authority,
    make_key,
    make_node_key,
    make_server_certificate,
    write_secret,
)
from collab_asd.deployment.settings import AGREEMENT, NODE, SERVER
from collab_asd.federation.agreement import (
    CODEC_BASES,
    ENCODER_DIGEST,
    FREE,
    OF_EMBEDDINGS,
    PROGRAMS,
    Agreement,
    shares_embeddings,
)
from collab_asd.federation.bases import BASES
from collab_asd.methods import fewest_clients, require_possible


def inventory(clients: int, host: str, shared: Sequence[str], noisy: bool = False) -> str:
    """Lay out the inventory of a new consortium.

    Parameters
    ----------
    clients : int
    host : str
        Where the server will be.
    shared : sequence of str
        Names of the keys that all clients have, and the server does not.
    noisy : bool
        Whether each client has a key of its own for noise.
    """
    keys = ", ".join(f"`{name}`" for name in shared)
    own = "`node.key` and `noise.key`" if noisy else "`node.key`"
    folders = "".join(_CLIENT.format(client=client, keys=keys, own=own) for client in range(clients))
    return _PAGE.format(host=host, folders=folders, keys=keys)


_CLIENT = """\
| {own} in `client-{client}/` | client {client} alone | in person, or encrypted for the client alone |
| {keys} in `client-{client}/` | the clients, **never the server** | the same way |
| all else in `client-{client}/` | client {client} | any; compare the fingerprint of `ca.crt` by telephone |
"""

_PAGE = """\
# Who gets what

Whoever made this folder holds every key in it. Best is a party that runs neither the server nor a client; it hands the
folders out, keeps `authority/` off the network, and deletes the rest.

| file | who gets it | which way |
|---|---|---|
| `authority/ca.key` | nobody; kept offline, to renew the server's certificate | – |
| `server/` | the operator of {host}; `server.key` is secret | encrypted, or in person |
{folders}
The server must not have {keys}: what they hide, it could read. That is less than recordings: see docs/privacy.md.
A client that would rather make its own key: `collab-asd deploy key FOLDER`, then `node.pub` goes to the server's
`nodes/` in place of the old one (it is no secret, but must not be swapped on its way: compare it by telephone).

Fingerprint of a file, to compare: `sha256sum ca.crt`. Of the agreement all parties compare the digest that
`collab-asd deploy check` shows.
"""


def node_files(client: int) -> dict[str, str]:
    """Return what starts a client's SuperNode, by name."""
    return {
        "start.sh": _SHELL.format(what="Keeps the SuperNode running; Ctrl-C stops it.", command="node"),
        "collab-asd-node.service": _UNIT.format(description=f"collab-asd client {client}", command="node"),
        "compose.yml": _COMPOSE.format(name=f"client-{client}", command="node", ports=""),
    }


def server_files(port: int) -> dict[str, str]:
    """Return what starts the server's SuperLink, by name."""
    ports = f'    ports: ["{port}:{port}"]\n'
    return {
        "start.sh": _SHELL.format(what="Keeps the SuperLink running; Ctrl-C stops it.", command="server"),
        "run.sh": _SHELL.format(what="One run, until its result is there.", command="run"),
        "collab-asd-server.service": _UNIT.format(description="collab-asd server", command="server"),
        "compose.yml": _COMPOSE.format(name="server", command="server", ports=ports),
    }


_SHELL = """\
#!/bin/sh
# {what}
cd "$(dirname "$0")" || exit 1
if ! command -v collab-asd >/dev/null; then
    echo "collab-asd is not installed, or its environment is not active: source /path/to/.venv/bin/activate" >&2
    exit 1
fi
exec collab-asd deploy {command} . "$@"
"""

_UNIT = """\
# Copy to /etc/systemd/system, put user and paths right, then: systemctl enable --now THIS_FILE
[Unit]
Description={description}
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
User=collab-asd
ExecStart=/opt/collab-asd/bin/collab-asd deploy {command} /var/lib/collab-asd
# The command itself starts again what dies. Exit code 2 is bad input: a person has to look.
Restart=always
RestartSec=30
RestartPreventExitStatus=2
TimeoutStopSec=60
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full

[Install]
WantedBy=multi-user.target
"""

_COMPOSE = """\
# `image` is one that has collab-asd installed (pip install collab-asd); add your recordings as a read-only volume.
services:
  {name}:
    image: collab-asd
    command: ["collab-asd", "deploy", "{command}", "/consortium"]
    volumes:
      - .:/consortium
{ports}    init: true
    restart: unless-stopped
    stop_grace_period: 60s
"""

DEFAULT_PORT, FIRST_NODE_PORT = 9443, 9451
ENCODER_KEY, ROTATION_KEY, PSEUDONYM_KEY, NOISE_KEY = "encoder.key", "rotation.key", "pseudonym.key", "noise.key"
PAGE_MEGABYTES = 1000.0
"""Each page is a message, and each message starts a process at the client: so one page holds nearly all."""


@dataclass(frozen=True)
class Consortium:
    """What is to be set up.

    Parameters
    ----------
    clients : int
    hosts : sequence of str
        Names and addresses by which clients reach the server; they are told the first.
    config : RunConfig
        What the parties agreed on.
    port : int
        The server's.
    rotated : bool
        Whether the clients turn their embeddings by a common secret rotation.
    """

    clients: int
    hosts: Sequence[str]
    config: RunConfig
    port: int = DEFAULT_PORT
    rotated: bool = False

    def write(self, folder: Path) -> str:
        """Write all folders; returns the digest that f_c must have.

        Raises
        ------
        InputError
            The folder is not empty, the numbers cannot be, the encoder cannot be built, or no client would answer.
        """
        self._require_possible(folder)
        with filling(folder):
            return self._write(folder)

    def _write(self, folder: Path) -> str:
        (folder / AUTHORITY).mkdir(parents=True)
        make_authority(folder / AUTHORITY, "collab-asd consortium")
        shared = {name: make_key() for name in self._common_keys()}
        for name, key in shared.items():
            write_secret(folder / AUTHORITY / name, key)
        digest = self._encoder_digest(folder / AUTHORITY)
        self._write_server(folder, digest)
        for client in range(self.clients):
            self._write_client(folder, client, shared, digest)
        (folder / "INVENTORY.md").write_text(
            inventory(self.clients, self.hosts[0], list(shared), bool(self.config.noise_epsilon)), encoding="utf-8"
        )
        return digest

    def _common_keys(self) -> list[str]:
        """Return the keys that all clients have, and the server does not."""
        from collab_asd.encoders import ENCODERS

        keyed = ENCODERS.find(self.config.encoder).takes_key
        wanted = {PSEUDONYM_KEY: True, ENCODER_KEY: keyed, ROTATION_KEY: self.rotated}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def _require_possible(self, folder: Path) -> None:
        if not 0 < self.port < 2**16:
            raise InputError(f"--port {self.port}: must lie between 1 and 65535")
        for host in self.hosts:
            general_name(host)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is not empty; name a new folder")
        Agreement(self.config).require_agreed(self.config)
        require_possible(self.config)
        fewest = fewest_clients(self.config)
        if self.clients < fewest:
            raise InputError(f"--clients {self.clients}: method {self.config.method!r} needs {fewest} or more")

    def _encoder_digest(self, authority: Path) -> str:
        """Build the encoder that the clients will have."""
        from collab_asd import encoders

        key = authority / ENCODER_KEY
        config = replace(self.config, encoder_key_file=str(key)) if key.exists() else self.config
        return encoders.build(config).spec.digest

    def _write_server(self, folder: Path, digest: str) -> None:
        server = folder / SERVER_FOLDER
        (server / "nodes").mkdir(parents=True)
        shutil.copyfile(folder / AUTHORITY / "ca.crt", server / "ca.crt")
        make_server_certificate(folder / AUTHORITY, server, self.hosts)
        (server / AGREEMENT).write_text(agreement_text(self.config, digest), encoding="utf-8")
        settings = {"host": self.hosts[0], "port": self.port, "listen": "0.0.0.0"}
        run = {"min-clients": self.config.min_clients or self.clients}
        (server / SERVER).write_text(_SERVER_HEAD + to_toml(settings) + _SERVER_RUN + to_toml(run), encoding="utf-8")
        _write_files(server, server_files(self.port))

    def _write_client(self, folder: Path, client: int, shared: Mapping[str, bytes], digest: str) -> None:
        own = folder / f"client-{client}"
        own.mkdir()
        shutil.copyfile(folder / AUTHORITY / "ca.crt", own / "ca.crt")
        make_node_key(own)
        shutil.copyfile(own / "node.pub", folder / SERVER_FOLDER / "nodes" / f"client-{client}.pub")
        noisy = {NOISE_KEY: make_key()} if self.config.noise_epsilon else {}
        keys = {**shared, **noisy}
        for name, key in keys.items():
            write_secret(own / name, key)
        (own / AGREEMENT).write_text(agreement_text(self.config, digest), encoding="utf-8")
        settings = {
            "superlink": f"{self.hosts[0]}:{self.port}",
            "client": client,
            "clients": self.clients,
            "data-dir": "",
            "encoder-weights": "",
            **{f"{Path(name).stem}-key-file": name for name in keys},
            "cache-dir": "cache",
            "results-dir": "results",
            "port": FIRST_NODE_PORT + client,
        }
        (own / NODE).write_text(_NODE_HEAD + to_toml(settings), encoding="utf-8")
        _write_files(own, node_files(client))


def agreement_text(config: RunConfig, digest: str) -> str:
    """Lay out ``agreement.toml``: every key that decides what leaves a client, or how its machines are judged."""
    shared = shares_embeddings(config)
    left_out = FREE if shared else FREE | OF_EMBEDDINGS
    agreed = {key: value for key, value in config.to_mapping().items() if key not in left_out}
    versions = {program: version(program) for program in PROGRAMS}
    stated = {ENCODER_DIGEST: digest} | ({CODEC_BASES: BASES} if shared else {})
    head = _AGREEMENT_HEAD + (_AGREEMENT_ON_EMBEDDINGS if shared else "")
    return head + to_toml({**AGREEMENT_SCHEMA.stamp, **versions, **agreed, **stated})


def to_toml(values: Mapping[str, Any]) -> str:
    """Lay out plain values, a line each."""
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


def _write_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755 if name.endswith(".sh") else 0o644)


_AGREEMENT_HEAD = """\
# What the parties agreed on. Every client refuses a run that asks for anything else, so all need the same file.
# Keys are those of `collab-asd run --set`; encoder-digest is what `collab-asd deploy check` shows for f_c.
"""
_AGREEMENT_ON_EMBEDDINGS = """\
# codec-bases: by so many bases of the codec a client sends embeddings, in all runs; other recordings or other clients
# make another basis. share-covariances: beside embeddings, matrices of spectra leave each client, which tell whoever
# holds a recording whether it is among its clips; false keeps them.
"""
_SERVER_HEAD = "# host and port: how clients reach this machine. listen: the address that it listens on.\n"
_SERVER_RUN = """
# Keys of the run configuration that need no agreement, such as seed, epochs, min-clients, timeout.
# min-clients: a run needs so many clients. As written, all of them; lower it for runs that go on without some.
[run]
"""
_NODE_HEAD = """\
# What this client sets for itself; nobody else learns it. Paths are absolute, or relative to this folder.
# data-dir: your recordings (layouts: `collab-asd data check --help`). port: used on this machine alone.
"""
