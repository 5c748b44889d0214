"""Write a ready consortium: a folder for the server, one for each client, and one that nobody on the network gets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collab_asd.atomic import filling
from collab_asd.config import RunConfig
from collab_asd.errors import InputError
from collab_asd.federation.agreement import ENCODER_DIGEST, FREE, PROGRAMS, Agreement
from collab_asd.methods import fewest_clients, require_possible
from simulations.deployment.certificates import AUTHORITY, SERVER_FOLDER, make_authority, make_server_certificate
from simulations.deployment.inventory import inventory
from simulations.deployment.keys import make_key, make_node_key
from simulations.deployment.scripts import node_files, server_files
from simulations.deployment.secret_files import write_secret
from simulations.deployment.settings import AGREEMENT, NODE, SERVER

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
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is not empty; name a new folder")
        Agreement().require_agreed(RunConfig(method=self.config.method, encoder=self.config.encoder))
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
        run = {"min-clients": min(2, self.clients)}
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
    agreed = {key: value for key, value in config.to_mapping().items() if key not in FREE}
    versions = {program: version(program) for program in PROGRAMS}
    return _AGREEMENT_HEAD + to_toml({**versions, **agreed, ENCODER_DIGEST: digest})


def to_toml(values: Mapping[str, Any]) -> str:
    """Lay out plain values, a line each."""
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


def _write_files(folder: Path, files: Iterable[tuple[str, str, int]]) -> None:
    for name, text, mode in files:
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(mode)


_AGREEMENT_HEAD = """\
# What the parties agreed on. Every client refuses a run that asks for anything else, so all need the same file.
# Keys are those of `collab-asd run --set`; encoder-digest is what `collab-asd deploy check` shows for f_c.
"""
_SERVER_HEAD = "# host and port: how clients reach this machine. listen: the address that it listens on.\n"
_SERVER_RUN = """
# Keys of the run configuration that need no agreement, such as seed, epochs, min-clients, timeout.
[run]
"""
_NODE_HEAD = """\
# What this client sets for itself; nobody else learns it. Paths are absolute, or relative to this folder.
# data-dir: your recordings (layouts: `collab-asd data check --help`). port: used on this machine alone.
"""
