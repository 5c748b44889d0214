"""``collab-asd deploy check``: is this folder ready, and if not, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import results_folder
from collab_asd.data.check import check
from collab_asd.data.layouts import find_clips
from collab_asd.data.problems import describe
from collab_asd.data.run_data import how
from collab_asd.deployment.certificates import (
    load_certificate,
    load_node_key,
    open_to_others,
    public_key,
    same_public_key,
)
from collab_asd.deployment.probe_server import Answer, ask, clock, reachable
from collab_asd.deployment.processes import STATE, is_open, require_free
from collab_asd.deployment.settings import AGREEMENT, SERVER, NodeSettings, ServerSettings
from collab_asd.federation.agreement import OWN_KEYS, Agreement, layout_of_node, shares_embeddings
from collab_asd.federation.bases import BasisLedger
from collab_asd.federation.pseudonyms import load_pseudonym_key


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


def secret_files(folder: Path, *names: str) -> Iterator[Finding]:
    """Look at keys: they must be there, and nobody else may read them."""
    for name in names:
        yield finding(name, lambda path=folder / name: _secret(path))  # type: ignore[misc]


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
    keys = node.encoder_key_file, node.rotation_key_file, node.noise_key_file, node.pseudonym_key_file
    yield finding("versions", lambda: _versions(node.folder / node.agreement))
    yield from secret_files(node.folder, "node.key", *filter(None, keys))
    yield finding("node.pub", lambda: _own_public_key(node.folder))
    yield finding("agreement", lambda: _agreement(node.path("agreement")))
    yield finding("recordings", lambda: _recordings(node))
    yield finding("encoder", lambda: _encoder(node))
    for name in ("cache_dir", "results_dir"):
        yield finding(name.replace("_", "-"), lambda name=name: writable_folder(node.path(name) or Path()))  # type: ignore[misc]
    yield finding("state", lambda: writable_folder(node.folder / STATE))
    yield finding("port", lambda: _own_port(node.port, "the SuperNode's"))
    yield from _server_from_outside(node)


def check_server(server: ServerSettings) -> Iterator[Finding]:
    """Look at a server's folder."""
    yield finding("versions", lambda: _versions(server.folder / AGREEMENT))
    yield from secret_files(server.folder, "server.key")
    yield finding("certificate", lambda: _certificate(server))
    yield finding("agreement", lambda: _agreement(server.folder / AGREEMENT))
    yield finding("nodes", lambda: _node_keys(server))
    yield finding("state", lambda: writable_folder(server.folder / STATE))
    yield finding("port", lambda: _own_port(server.port, "the SuperLink's"))


def _server_from_outside(node: NodeSettings) -> Iterator[Finding]:
    answers: list[Answer] = []

    def reach() -> str:
        answers.append(ask(node.superlink, node.folder / "ca.crt"))
        return reachable(answers[0])

    yield finding("server", reach)
    if answers:
        yield finding("clock", lambda: clock(answers[0]))


def _versions(agreement: Path) -> str:
    mine = {"collab-asd": version("collab-asd"), "flwr": version("flwr")}
    agreed = Agreement.load(str(agreement)).versions
    other = {name: agreed[name] for name in mine if name in agreed and agreed[name] != mine[name]}
    if other:
        said = "; ".join(f"{name} {mine[name]} is installed, agreed on was {theirs}" for name, theirs in other.items())
        raise InputError(f"{said}: pip install " + " ".join(f"{name}=={theirs}" for name, theirs in other.items()))
    return ", ".join(f"{name} {mine[name]}" for name in mine)


def _own_public_key(folder: Path) -> str:
    own = public_key(load_node_key(folder / "node.key"))
    if not same_public_key(own, (folder / "node.pub").read_bytes()):
        raise InputError("is not that of node.key; make both anew with `collab-asd deploy key`")
    return "is that of node.key; the server must have the same"


def _agreement(path: Path | None) -> str:
    agreed = Agreement.load(str(path or "")).config
    if agreed is None:
        return "none: only embedding sharing under Algorithm 1, and local methods, will be answered"
    codec = f", codec {agreed.codec}" if shares_embeddings(agreed) else ""
    return f"{agreed.method}, {agreed.encoder}{codec}, inference at the {agreed.inference}"


def _recordings(node: NodeSettings) -> str:
    agreement = Agreement.load(str(node.path("agreement") or "")).config
    data_dir = node.path("data_dir")
    if data_dir is None:
        raise InputError("data-dir is empty; name the folder of your recordings in node.toml")
    config = agreement or RunConfig()
    config = replace(config, data_dir=str(data_dir), layout=layout_of_node(str(data_dir), config.layout))
    clips = find_clips(data_dir, *how(config))
    report = check(data_dir, clips, group_by=config.grouping, shares=False, allow_mixed=config.allow_mixed)
    errors = [line for severity, line in describe(report.problems) if severity == "error"]
    if errors:
        raise InputError("; ".join(errors[:PROBLEMS_SHOWN]) + "; see `collab-asd data check`")
    if agreement is None or agreement.group_by != "all":
        load_pseudonym_key(str(node.path("pseudonym_key_file") or ""))
    return f"{len(clips)} recordings of {len(report.machines)} machine{'s' * (len(report.machines) > 1)}"


def _encoder(node: NodeSettings) -> str:
    from collab_asd import encoders

    agreement = Agreement.load(str(node.path("agreement") or ""))
    if agreement.config is None:
        raise InputError("without an agreement it is not known which one is used")
    own = {key: str(node.path(key.replace("-", "_")) or "") for key in OWN_KEYS}
    digest = encoders.build(RunConfig.from_mapping(agreement.config.to_mapping() | own)).spec.digest
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


def _node_keys(server: ServerSettings) -> str:
    names = [path.stem for path in sorted((server.folder / "nodes").glob("*.pub"))]
    if not names:
        raise InputError(f"{server.folder / 'nodes'}: holds no public key; put node.pub of each client there")
    return ", ".join(names)
