"""``collab-asd deploy check``: is this folder ready, and if not, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError, reason
from collab_asd.core.files import results_folder
from collab_asd.data.check import check
from collab_asd.data.layouts import find_clips, layout_of
from collab_asd.data.problems import describe
from collab_asd.data.run_data import how
from collab_asd.data.tags import attribute_of
from collab_asd.deployment.certificates import (
    load_certificate,
    load_node_key,
    load_public_key,
    open_to_others,
    public_key,
    same_public_key,
)
from collab_asd.deployment.probe_server import ask, clock, reachable, registered
from collab_asd.deployment.processes import STATE, is_open, require_free
from collab_asd.deployment.settings import AGREEMENT, NODE, SERVER, NodeSettings, ServerSettings
from collab_asd.federation.agreement import OWN_KEYS, Agreement, layout_of_node, shares_embeddings
from collab_asd.federation.bases import BasisLedger
from collab_asd.federation.pseudonyms import load_pseudonym_key
from collab_asd.methods import fewest_clients
from collab_asd.wire.defences.chain import require_keys


@dataclass(frozen=True)
class Finding:
    """One line.

    Parameters
    ----------
    subject : str
    well : bool
    says : str
        What there is; or what is wrong, and what to do.
    """

    subject: str
    well: bool
    says: str

    def __str__(self) -> str:
        """Lay out as it is printed."""
        return f"{'ok   ' if self.well else 'WRONG'}  {self.subject}: {self.says}"


def finding(subject: str, look: Callable[[], str]) -> Finding:
    """Look at something; what the look raises for the user is what is wrong."""
    try:
        return Finding(subject, True, look())
    except (InputError, OSError) as error:
        return Finding(subject, False, str(error))


def writable_folder(path: Path) -> str:
    """Make sure that files can be made in a folder.

    Raises
    ------
    InputError
        They cannot.
    """
    probe = path / ".writable"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give this user the right to") from error
    return f"{path} can be written"


def _secret(path: Path) -> str:
    try:
        size = len(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; INVENTORY.md says who gives it to you") from error
    if not size:
        raise InputError(f"{path}: is empty; ask for it again")
    if open_to_others(path):
        raise InputError(f"{path}: others on this machine can read it: chmod 600 {path}")
    return "is there, and only its owner can read it"


PROBLEMS_SHOWN = 5


def check_folder(folder: Path) -> Iterator[Finding]:
    """Look at all that a party's processes will need, as the user that this runs as.

    Raises
    ------
    InputError
        The folder is no party's.
    """
    if (folder / SERVER).exists():
        yield from check_server(ServerSettings.load(folder))
    else:
        yield from check_node(NodeSettings.load(folder))


def check_node(node: NodeSettings) -> Iterator[Finding]:
    """Look at a client's folder, its recordings and its way to the server."""
    found, agreement = _agreement(node.path("agreement"), "versions, recordings and encoder")
    yield found
    if agreement:
        yield finding("versions", lambda: _versions(agreement))
    own_key = finding("node.key", lambda: _own_key(node.folder / "node.key"))
    yield own_key
    if own_key.well:
        yield finding("node.pub", lambda: _own_public_key(node.folder))
    named = {
        getattr(node, name): node.path(name) for name in ("encoder_key_file", "rotation_key_file", "noise_key_file")
    }
    keys = [finding(name, lambda path=path: _secret(path)) for name, path in named.items() if path]  # type: ignore[misc]
    yield from keys
    yield finding(node.pseudonym_key_file or "pseudonym.key", lambda: _pseudonym_key(node, agreement))
    if agreement:
        yield finding("recordings", lambda: _recordings(node, agreement))
    if agreement and all(key.well for key in keys):
        yield finding("encoder", lambda: _encoder(node, agreement))
    for name in ("cache_dir", "results_dir"):
        yield finding(name.replace("_", "-"), lambda name=name: writable_folder(node.path(name) or Path()))  # type: ignore[misc]
    yield finding("state", lambda: writable_folder(node.folder / STATE))
    yield finding("port", lambda: _own_port(node.port, "the SuperNode's"))
    yield from _server_from_outside(node, own_key.well)


def check_server(server: ServerSettings) -> Iterator[Finding]:
    """Look at a server's folder."""
    found, agreement = _agreement(server.folder / AGREEMENT, f"versions, and the keys of a run in {SERVER}")
    yield found
    fewest = 1
    if agreement:
        yield finding("versions", lambda: _versions(agreement))
        try:
            fewest = fewest_clients(run_config(server, {}))
        except InputError as error:
            yield Finding(SERVER, False, f"[run]: {error}")
    yield finding("server.key", lambda: _secret(server.folder / "server.key"))
    yield finding("certificate", lambda: _certificate(server))
    yield finding("nodes", lambda: _node_keys(server, fewest))
    yield finding("state", lambda: writable_folder(server.folder / STATE))
    yield finding("port", lambda: _own_port(server.port, "the SuperLink's"))


def _server_from_outside(node: NodeSettings, signs: bool) -> Iterator[Finding]:
    key = load_node_key(node.folder / "node.key") if signs else None
    try:
        answer = ask(node.superlink, node.folder / "ca.crt", key=key)
    except (InputError, OSError) as error:
        yield Finding("server", False, str(error))
        return
    yield finding("server", lambda: reachable(answer))
    yield finding("clock", lambda: clock(answer))
    if signs:
        yield finding("registration", lambda: registered(answer, node.known_as, node.folder / "node.pub"))


def _versions(agreement: Agreement) -> str:
    mine = {"collab-asd": version("collab-asd"), "flwr": version("flwr")}
    agreed = agreement.versions
    other = {name: agreed[name] for name in mine if name in agreed and agreed[name] != mine[name]}
    if other:
        said = "; ".join(f"{name} {mine[name]} is installed, agreed on was {theirs}" for name, theirs in other.items())
        raise InputError(f"{said}: pip install " + " ".join(f"{name}=={theirs}" for name, theirs in other.items()))
    return ", ".join(f"{name} {mine[name]}" for name in mine)


def _own_key(path: Path) -> str:
    said = _secret(path)
    load_node_key(path)
    return said


def _own_public_key(folder: Path) -> str:
    own = public_key(load_node_key(folder / "node.key"))
    try:
        line = (folder / "node.pub").read_bytes()
    except OSError as error:
        raise InputError(f"{error.strerror}; make it and node.key anew with `collab-asd deploy key`") from error
    if not same_public_key(own, line):
        raise InputError(
            "is not that of node.key; put back the key that it belongs to, or make both anew (`collab-asd deploy key`)"
        )
    return "is that of node.key"


def _pseudonym_key(node: NodeSettings, agreement: Agreement | None) -> str:
    path = node.path("pseudonym_key_file")
    if path is None:
        if agreement is None or (agreement.config and agreement.config.group_by == "all"):
            return "none is named"
        raise InputError("pseudonym-key-file is empty in node.toml; name the file that all clients have")
    said = _secret(path)
    load_pseudonym_key(str(path))
    return said


def _agreement(path: Path | None, depends: str) -> tuple[Finding, Agreement | None]:
    """Look at an agreement, and return it if it can be read; `depends` names what cannot be looked at without."""
    try:
        agreement = Agreement.load(str(path or ""))
    except InputError as error:
        said = f"{str(error).removeprefix('agreement ')} (what depends on it was not looked at: {depends})"
        return Finding("agreement", False, said), None
    return Finding("agreement", True, _agreed(agreement)), agreement


def _agreed(agreement: Agreement) -> str:
    if (agreed := agreement.config) is None:
        return "none: only embedding sharing under Algorithm 1, and local methods, will be answered"
    codec = f", codec {agreed.codec}" if shares_embeddings(agreed) else ""
    said = f"{agreed.method}, {agreed.encoder}{codec}, inference at the {agreed.inference}"
    return f"{said}; digest {agreement.spoken_digest}: compare it with the others'"


def configured_recordings(node: NodeSettings, agreement: Agreement) -> RunConfig:
    """Return what was agreed on, with the recordings of a node; these are there, and of a layout that is known.

    Raises
    ------
    InputError
        No folder is named, or it is missing, empty or of no known layout.
    """
    data_dir = node.path("data_dir")
    if data_dir is None:
        raise InputError(f"data-dir is empty; name the folder of your recordings in {node.folder / NODE}")
    config = agreement.config or RunConfig()
    config = replace(config, data_dir=str(data_dir), layout=layout_of_node(str(data_dir), config.layout))
    try:
        layout_of(data_dir, config.layout)
    except InputError as error:
        raise InputError(f"data-dir of {NODE}: {error}") from error
    return config


def run_config(server: ServerSettings, settings: Mapping[str, Any]) -> RunConfig:
    """Return what was agreed on, with what the server may set.

    Raises
    ------
    InputError
        The agreement cannot be read, or a key does not exist.
    """
    agreement = Agreement.load(str(server.folder / AGREEMENT))
    assert agreement.config is not None
    config = RunConfig.from_mapping({**agreement.config.to_mapping(), **server.run, **settings})
    agreement.require_agreed(config)
    return config


def require_enough_keys(server: ServerSettings, fewest: int) -> None:
    """Refuse a run that needs more clients than have a public key in ``nodes/``.

    Raises
    ------
    InputError
        There are fewer keys.
    """
    folder = server.folder / "nodes"
    keys = len(list(folder.glob("*.pub")))
    if keys < fewest:
        raise InputError(
            f"{folder}: holds {keys} public key{'s' * (keys != 1)}, and min-clients = {fewest}: put node.pub of the "
            f"other clients there, or lower min-clients ({SERVER}, or --set min-clients={keys})"
        )


def _recordings(node: NodeSettings, agreement: Agreement) -> str:
    from collab_asd.federation.policy import require_within  # it brings Flower

    config = configured_recordings(node, agreement)
    data_dir = Path(config.data_dir)
    clips = find_clips(data_dir, *how(config))
    require_within(clips, data_dir)
    if config.erase:
        attribute_of(data_dir, [clip for clip in clips if clip.split == "train"], config.erase)
    report = check(data_dir, clips, group_by=config.grouping, shares=False, allow_mixed=config.allow_mixed)
    errors = [line for severity, line in describe(report.problems) if severity == "error"]
    if errors:
        raise InputError("; ".join(errors[:PROBLEMS_SHOWN]) + "; see `collab-asd data check`")
    return f"{len(clips)} recordings of {len(report.machines)} machine{'s' * (len(report.machines) > 1)}"


def _encoder(node: NodeSettings, agreement: Agreement) -> str:
    from collab_asd import encoders

    if agreement.config is None:
        raise InputError("without an agreement it is not known which one is used")
    own = {key: str(node.path(key.replace("-", "_")) or "") for key in OWN_KEYS}
    config = RunConfig.from_mapping(agreement.config.to_mapping() | own)
    require_keys(config)
    digest = encoders.build(config).spec.digest
    agreement.require_encoder(digest)
    agreed = ", as agreed" if agreement.encoder_digest else ""
    said = f"{agreement.config.encoder}, digest {digest[:12]}{agreed}"
    if not shares_embeddings(agreement.config):
        return said
    used = BasisLedger.of_node(results_folder(str(node.path("results_dir") or "")), digest).used()
    return f"{said}; {used} of {agreement.bases} codec-bases used"


def _own_port(port: int, whose: str) -> str:
    if is_open("127.0.0.1", port):
        return f"{port} is in use, by {whose} own process if that runs already"
    require_free(port, whose)
    return f"{port} is free"


def _certificate(server: ServerSettings) -> str:
    certificate = load_certificate(server.folder / "server.crt")
    try:
        certificate.verify_directly_issued_by(load_certificate(server.folder / "ca.crt"))
    except (InvalidSignature, ValueError) as error:
        raise InputError("server.crt was not issued by ca.crt; both come from one consortium") from error
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    if days < 0:
        raise InputError("server.crt has expired; make a new one with `collab-asd deploy certificate`")
    return f"good for {days} days"


def _node_keys(server: ServerSettings, fewest: int) -> str:
    folder, owners = server.folder / "nodes", dict[bytes, Path]()
    for path in sorted(folder.glob("*.pub")):
        try:
            key = load_public_key(path.read_bytes())
        except (InputError, OSError) as error:
            raise InputError(f"{path}: {reason(error)}; ask that client for its node.pub") from error
        if key in owners:
            raise InputError(f"{path}: holds the same key as {owners[key].name}; each client has a key of its own")
        owners[key] = path
    if not owners:
        raise InputError(f"{folder}: holds no public key; put node.pub of each client there")
    require_enough_keys(server, fewest)
    return ", ".join(path.stem for path in owners.values())
