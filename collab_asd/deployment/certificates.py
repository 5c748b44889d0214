"""Secrets of a consortium: its certificate authority, keys of nodes and clients, files only their owner may read."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collab_asd.core.errors import InputError, reason

ONLY_OWNER = 0o600


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that no other user could read at any time.

    Raises
    ------
    InputError
        It is there already, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_OWNER)
    except FileExistsError:
        raise InputError(f"{path}: is there already, and no key is overwritten; move it away first") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def open_to_others(path: Path) -> bool:
    """Whether other users may read a file, or write it."""
    return bool(stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO))


AUTHORITY, SERVER_FOLDER = "authority", "server"
AUTHORITY_DAYS, SERVER_DAYS = 3650, 365
LOOPBACK = ("localhost", "127.0.0.1")
EARLIER = timedelta(minutes=5)
"""Certificates are valid from so long ago: clocks differ."""


def make_authority(folder: Path, name: str) -> None:
    """Make ``ca.crt`` and ``ca.key``; whoever has the key can pass for the server."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing = x509.KeyUsage(False, False, False, False, False, key_cert_sign=True, crl_sign=True, encipher_only=False,
                            decipher_only=False)  # fmt: skip
    certificate = (
        _builder(subject, subject, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signing, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA384())
    )
    write_secret(folder / "ca.key", _private(key))
    (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))


def make_server_certificate(authority: Path, folder: Path, hosts: Sequence[str], days: int = SERVER_DAYS) -> None:
    """Make ``server.crt`` and ``server.key`` for some host names and addresses, and for this machine itself.

    Raises
    ------
    InputError
        The authority's key cannot be read.
    """
    signer, issuer = _authority(authority)
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(list(map(general_name, dict.fromkeys((*hosts, *LOOPBACK))))), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, SHA256())
    )
    write_secret(folder / "server.key", _private(key))
    (folder / "server.crt").write_bytes(certificate.public_bytes(Encoding.PEM))


def renew_server_certificate(consortium: Path, hosts: Sequence[str], days: int) -> Path:
    """Make a new certificate and key in the server's folder of a consortium; returns that folder.

    Those before are kept as ``server.key.old`` and ``server.crt.old``.

    Raises
    ------
    InputError
        The authority's key is not here, or a host has no such name.
    """
    authority, server = consortium / AUTHORITY, consortium / SERVER_FOLDER
    for host in hosts:
        general_name(host)
    _authority(authority)
    server.mkdir(exist_ok=True)  # whoever set the consortium up may have kept the authority alone
    for name in ("server.key", "server.crt"):
        if (server / name).exists():
            (server / name).replace(server / f"{name}.old")
    make_server_certificate(authority, server, hosts, days)
    return server


def load_certificate(path: Path) -> x509.Certificate:
    """Read a certificate.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a certificate ({reason(error)}); ask whoever set up the consortium for it"
        ) from error


def _authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / 'ca.key'}: cannot be read ({reason(error)}); "
            "certificates are made where the consortium was set up"
        ) from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, load_certificate(folder / "ca.crt")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
    )


HOST = re.compile(r"(?!.{254})[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*")


def general_name(host: str) -> x509.GeneralName:
    """Return a host's name or address as certificates hold it.

    Raises
    ------
    InputError
        It is neither.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not HOST.fullmatch(host):
            raise InputError(
                f"--host {host!r}: neither a name nor an address; write it as server.example.org or 192.0.2.7, "
                "without a scheme or a port"
            ) from None
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


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
        raise InputError(f"{path}: no private key ({reason(error)}); make one with `collab-asd deploy key`") from error
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
    return load_public_key(one) == load_public_key(other)


def load_public_key(line: bytes) -> bytes:
    """Return a public key as it stands in ``node.pub``, without the comment behind it.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        key = load_ssh_public_key(line)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"not a public key ({error}); it stands in node.pub of the client") from error
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
