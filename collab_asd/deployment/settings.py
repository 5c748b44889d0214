"""``server.toml`` and ``node.toml``: what a party of a consortium sets on its own machine."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Self, get_type_hints

from collab_asd.core.errors import InputError, kind_words
from collab_asd.core.files import read_text

NODE, SERVER, AGREEMENT = "node.toml", "server.toml", "agreement.toml"
PATHS = (
    *("data_dir", "encoder_weights", "encoder_key_file", "rotation_key_file", "noise_key_file"),
    *("pseudonym_key_file", "agreement", "cache_dir", "results_dir"),
)


@dataclass(frozen=True)
class NodeSettings:
    """One client's machine; paths are relative to its folder.

    Parameters
    ----------
    folder : Path
    superlink : str
        ``HOST:PORT`` of the server.
    client, clients : int
        Which client this is, of how many.
    data_dir : str
        Its recordings.
    encoder_weights, agreement, cache_dir, results_dir : str
    encoder_key_file, rotation_key_file, pseudonym_key_file : str
        The clients' common keys; empty: none.
    noise_key_file : str
        This client's own key.
    port : int
        Of its own, for its processes among themselves: on 127.0.0.1, nothing comes in from outside.
    device : str
        What the encoder and all training run on.
    """

    folder: Path
    superlink: str
    client: int
    clients: int
    data_dir: str = ""
    encoder_weights: str = ""
    encoder_key_file: str = ""
    rotation_key_file: str = ""
    noise_key_file: str = ""
    pseudonym_key_file: str = "pseudonym.key"
    agreement: str = AGREEMENT
    cache_dir: str = "cache"
    results_dir: str = "results"
    port: int = 9094
    device: str = "cpu"

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``node.toml`` of a folder.

        Raises
        ------
        InputError
            It cannot be read, names something that does not exist, a server without a port, or a client that is none of
            so many.
        """
        node = cls(**_read(cls, folder, NODE))
        try:
            host_and_port(node.superlink)
        except InputError as error:
            raise InputError(f"{folder / NODE}: {error}") from error
        if not 0 <= node.client < node.clients:
            raise InputError(
                f"{folder / NODE}: client = {node.client} of clients = {node.clients}; number the clients from 0"
            )
        return node

    @property
    def known_as(self) -> str:
        """What the server calls this client."""
        return f"client-{self.client}"

    def path(self, name: str) -> Path | None:
        """Return what a key names, absolute; None where it names nothing."""
        named = getattr(self, name)
        return (self.folder / Path(named).expanduser()).resolve() if named else None

    def node_config(self) -> str:
        """Return what the SuperNode is told, as ``--node-config`` takes it; there are no secrets in it.

        Raises
        ------
        InputError
            A path holds a quotation mark, which Flower's command line cannot be given.
        """
        config: dict[str, Any] = {"client": self.client, "clients": self.clients, "device": self.device}
        for name in PATHS:
            path = str(self.path(name) or "")
            if set(path) & set("\"'\n\\"):
                raise InputError(f"{name.replace('_', '-')} = {path}: a path with quotation marks cannot be used")
            config[name.replace("_", "-")] = path
        return " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in config.items())


@dataclass(frozen=True)
class ServerSettings:
    """The server's machine.

    Parameters
    ----------
    folder : Path
    host : str
        Name or address by which clients reach it.
    port : int
        The one that is open to the clients.
    listen : str
        Address that it listens on.
    run : mapping
        Keys of the run configuration that need no agreement.
    """

    folder: Path
    host: str
    port: int
    listen: str = "0.0.0.0"
    run: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``server.toml`` of a folder.

        Raises
        ------
        InputError
            It cannot be read, or names something that does not exist.
        """
        return cls(**_read(cls, folder, SERVER))


def host_and_port(superlink: str) -> tuple[str, int]:
    """Take ``HOST:PORT`` apart; an IPv6 address may stand in brackets.

    Raises
    ------
    InputError
        It is none.
    """
    host, _, port = superlink.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise InputError(f'superlink = {superlink!r}: write HOST:PORT, as in "asd.example.org:9092"')
    return host.strip("[]"), int(port)


QUOTES = {str: "in quotes", int: "without quotes"}


def _read(kind: type, folder: Path, name: str) -> dict[str, Any]:
    """Read the fields of a dataclass from a file of a folder."""
    path = folder.absolute() / name
    try:
        values = {key.replace("-", "_"): value for key, value in tomllib.loads(read_text(path)).items()}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a folder that `collab-asd deploy init` made") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}; text stands in quotes, one key = value a line") from error
    hints = {f.name: get_type_hints(kind)[f.name] for f in fields(kind) if f.name != "folder"}
    if unknown := sorted(values.keys() - hints.keys()):
        raise InputError(f"{path}: {unknown[0]!r} does not exist; there are {', '.join(sorted(hints))}")
    for key, value in values.items():
        if hints[key] in (str, int) and type(value) is not hints[key]:
            raise InputError(f"{path}: {key} = {value!r}: must be {kind_words(hints[key])}, {QUOTES[hints[key]]}")
        if hints[key] not in (str, int) and not isinstance(value, dict):
            raise InputError(f"{path}: {key} = {value!r}: must be a table, which begins with the line [{key}]")
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING} - {"folder"}
    if missing := sorted(needed - values.keys()):
        raise InputError(f"{path}: {missing[0]} is missing")
    return {"folder": path.parent, **values}
