"""Keys: of each SuperNode, by which the SuperLink knows it, and those that the clients share."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from collab_asd.errors import InputError
from simulations.deployment.secret_files import write_secret

KEY_BYTES = 32


def make_node_key(folder: Path) -> None:
    """Make ``node.key`` and ``node.pub``, as ``ssh-keygen -t ecdsa -b 384`` does."""
    key = ec.generate_private_key(ec.SECP384R1())
    write_secret(folder / "node.key", key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    (folder / "node.pub").write_bytes(public_key(key))


def renew_node_key(folder: Path) -> Path:
    """Replace a client's key pair; returns where the old private key lies now.

    Raises
    ------
    InputError
        There is no key, or the folder cannot be written.
    """
    old = folder / f"node-{datetime.now(UTC):%Y%m%d-%H%M%S}.key"
    try:
        (folder / "node.key").rename(old)
    except OSError as error:
        raise InputError(f"{folder / 'node.key'}: cannot be replaced ({error.strerror})") from error
    make_node_key(folder)
    return old


def make_key() -> bytes:
    """Draw a key for the clients, which no server gets."""
    return secrets.token_bytes(KEY_BYTES)


def load_node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the private key of a SuperNode.

    Raises
    ------
    InputError
        It cannot be read, or is of another kind.
    """
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no private key ({error}); make one with `collab-asd deploy key`") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{path}: not an ECDSA key; make one with `collab-asd deploy key`")
    return key


def public_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public half, as it stands in ``node.pub``."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def same_public_key(one: bytes, other: bytes) -> bool:
    """Whether two lines hold one public key; comments behind it do not count.

    Raises
    ------
    InputError
        One holds none.
    """
    try:
        keys = [load_ssh_public_key(line) for line in (one, other)]
    except ValueError as error:
        raise InputError(f"not a public key ({error}); it stands in node.pub of the client") from error
    lines = [key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) for key in keys]
    return lines[0] == lines[1]
