"""A bundle: f_c on its way from whoever distributes it to the clients, past the server (section IV-C of the paper).

One file holds a card, the distributor's Ed25519 signature of it, and the weights or the key of an encoder, whose hash
stands on the card: no bit of it can be another. A client takes what its distributor has signed and the consortium has
agreed on, and nothing else. The server never gets the file: it sees the encoder's digest, by which all clients have the
same.

A bundle has a number that grows and a day on which it expires: who holds an old one can neither keep a client at it for
ever, nor bring it back where a newer one of the same distributor was opened.

A bundle is signed and not encrypted: whoever holds the file has the encoder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import data_dir, replacing
from collab_asd.core.schemas import ENCODER_BUNDLE, VersionError
from collab_asd.encoders import ENCODERS, build

NAME = b"collab-asd encoder bundle "
START = NAME + f"{ENCODER_BUNDLE.version}\n".encode()  # signed, too: a signature is of no use for anything else
LENGTH, SIGNATURE = 4, 64  # bytes of the card's length (little-endian), of a signature
LARGEST_CARD, CHUNK = 65_536, 2**20  # bytes
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
SECRET = 0o600
DAYS, DAY = 365, 86_400  # days that a bundle may be opened; seconds of one
DECISIVE = ("encoder", "openl3_model", "frontend", "openl3_backend", "precision")  # of the frames, besides the file


@dataclass(frozen=True)
class Card:
    """What a bundle says of itself.

    Parameters
    ----------
    encoder, openl3_model, frontend, openl3_backend, precision : str
        As in `RunConfig`.
    file : str
        What the file is called at the clients.
    size : int
        Bytes.
    sha256 : str
        Of the file, hex.
    encoder_digest : str
        Of the encoder that it makes, hex: what the consortium agrees on.
    number : int
        Grows from one bundle of a distributor to the next.
    expires : int
        When it may be opened no more; seconds since 1970, UTC.
    """

    encoder: str
    openl3_model: str
    frontend: str
    openl3_backend: str
    file: str
    size: int
    sha256: str
    encoder_digest: str
    number: int
    expires: int
    precision: str = RunConfig.precision

    @classmethod
    def read(cls, plain: bytes) -> Self:
        """Read a card whose signature is right.

        Raises
        ------
        ValueError
            It is another version's, or names a file that may not be written.
        """
        found = json.loads(plain)
        if not isinstance(found, dict) or found.keys() != {field.name for field in fields(cls)}:
            raise ValueError("its card is another version's")
        card = cls(**found)
        if not FILE_NAME.fullmatch(card.file):
            raise ValueError("its card names no plain file")
        if type(card.number) is not int or type(card.expires) is not int:
            raise ValueError("its card has no number, or no day of expiry")
        return card

    def config(self, file: Path) -> RunConfig:
        """Return the configuration of an encoder made of a file."""
        chosen = {name.replace("_", "-"): getattr(self, name) for name in DECISIVE}
        return RunConfig.from_mapping(chosen | {ENCODERS.find(self.encoder).file_key: str(file)})


def write_bundle(
    config: RunConfig,
    file: Path,
    signer: Ed25519PrivateKey,
    folder: Path,
    days: float = DAYS,
    number: int | None = None,
) -> tuple[Path, Card]:
    """Write the bundle of an encoder's file into a folder, named by encoder and digest.

    Parameters
    ----------
    config : RunConfig
        Of the encoder; names the file, too.
    file : Path
        Of weights or a key.
    signer : Ed25519PrivateKey
        The distributor's.
    folder : Path
        Made if need be.
    days : float
        How long it may be opened.
    number : int, optional
        Larger than that of the bundle before; by default the time in seconds.

    Raises
    ------
    InputError
        The file is not of that encoder, or cannot be called what it is called.
    """
    if not FILE_NAME.fullmatch(file.name):
        raise InputError(
            f"{file.name!r}: clients can't call a file that; use letters, digits, dots, dashes, underscores"
        )
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    decisive = {name: getattr(config, name) for name in DECISIVE}
    now = time.time()
    card = Card(
        **decisive, file=file.name, size=file.stat().st_size, sha256=sha256, encoder_digest=_digest(config),
        number=int(now) if number is None else number, expires=int(now + days * DAY),
    )  # fmt: skip
    plain = json.dumps(asdict(card), indent=1).encode()
    bundle = folder / f"{config.encoder}-{card.encoder_digest[:16]}.bundle"
    with replacing(bundle, SECRET) as out, file.open("rb") as content:
        out.write(START + len(plain).to_bytes(LENGTH, "little") + plain + signer.sign(START + plain))
        shutil.copyfileobj(content, out)
    return bundle, card


def open_bundle(
    bundle: Path, signer: Ed25519PublicKey, digest: str, folder: Path, record: Path | None = None
) -> tuple[Path, Card]:
    """Verify a bundle and put its file into a folder, where the user alone may read it.

    Parameters
    ----------
    bundle : Path
    signer : Ed25519PublicKey
        Whose signature counts.
    digest : str
        Of the encoder that was agreed on, hex.
    folder : Path
        Made if need be; what it holds under the same name is replaced.
    record : Path, optional
        File in which the largest number of each distributor is kept; by default in the user's data folder.

    Returns
    -------
    Path
        Of the file: what ``encoder-weights`` or ``encoder-key-file`` is to name.
    Card

    Raises
    ------
    InputError
        The bundle is damaged, signed by someone else, of another encoder, expired, or older than one that was opened
        before. Nothing of it is left then.
    """
    record = record or data_dir() / "bundles.json"
    with _explained(bundle), bundle.open("rb") as opened:
        card = _signed_card(opened, signer)
        _require_current(card, signer, record)
        if card.encoder_digest != digest:
            raise ValueError(f"its encoder has digest {card.encoder_digest[:12]}, and {digest[:12]} was agreed on")
        target = folder / card.file
        with replacing(target, SECRET) as out:
            _copy(opened, card, out)
            out.flush()
            if (found := _digest(card.config(Path(out.name)))) != digest:
                raise ValueError(f"its file makes an encoder of digest {found[:12]}, and {digest[:12]} was agreed on")
    with replacing(record) as out:
        out.write(json.dumps(_opened(record) | {_line(signer, card): card.number}, indent=1).encode())
    return target, card


def _require_current(card: Card, signer: Ed25519PublicKey, record: Path) -> None:
    """Refuse a card that has expired, or is older than one that was seen before."""
    expires = datetime.fromtimestamp(card.expires, UTC)
    if expires <= datetime.now(UTC):
        raise ValueError(f"it has expired on {expires:%Y-%m-%d}, by this machine's clock")
    seen = _opened(record).get(_line(signer, card), card.number)
    if card.number < seen:
        raise ValueError(f"its number is {card.number}, and one of number {seen} was opened before ({record})")


def _line(signer: Ed25519PublicKey, card: Card) -> str:
    """Under which a distributor's bundles of one encoder are counted."""
    return f"{signer.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {card.encoder}"


def _opened(record: Path) -> dict[str, int]:
    try:
        return dict(json.loads(record.read_bytes()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{record} is damaged, which says what was opened before; delete it if you know") from error


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read a distributor's private key, in OpenSSH's format and without a passphrase.

    Raises
    ------
    InputError
        It cannot be read, or is of another kind.
    """
    with _key_explained(path, "private"):
        key = load_ssh_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("it is of another kind")
    return key


def load_verifying_key(path: Path) -> Ed25519PublicKey:
    """Read a distributor's public key, in OpenSSH's format.

    Raises
    ------
    InputError
        It cannot be read, or is of another kind.
    """
    with _key_explained(path, "public"):
        key = load_ssh_public_key(path.read_bytes())
        if not isinstance(key, Ed25519PublicKey):
            raise TypeError("it is of another kind")
    return key


def _digest(config: RunConfig) -> str:
    return build(config).spec.digest


def _signed_card(opened: IO[bytes], signer: Ed25519PublicKey) -> Card:
    """Read what stands before the content, and nothing of it before the signature is right."""
    if (head := opened.read(len(START))) != START:
        number = head.removeprefix(NAME).strip()
        if not number.isdigit():
            raise ValueError("it is no bundle")
        ENCODER_BUNDLE.require_readable({ENCODER_BUNDLE.key: int(number)}, Path(opened.name))
    length = int.from_bytes(opened.read(LENGTH), "little")
    if length > LARGEST_CARD:
        raise ValueError("its card is too large")
    plain, signature = opened.read(length), opened.read(SIGNATURE)
    signer.verify(signature, START + plain)
    return Card.read(plain)


def _copy(opened: IO[bytes], card: Card, out: IO[bytes]) -> None:
    """Write the content to a file, and compare it with what is signed."""
    sha256, left = hashlib.sha256(), card.size + 1
    while chunk := opened.read(min(left, CHUNK)):
        left -= len(chunk)
        sha256.update(chunk)
        out.write(chunk)
    if left != 1 or sha256.hexdigest() != card.sha256:
        raise ValueError("its content is not what was signed")


@contextmanager
def _explained(bundle: Path) -> Iterator[None]:
    try:
        yield
    except VersionError:
        raise
    except InvalidSignature as error:
        raise InputError(f"{bundle}: refused, another key has signed it, or its card was changed") from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{bundle}: refused, {error}; get it again from the distributor") from error


@contextmanager
def _key_explained(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise InputError(
            f"{path}: no Ed25519 {kind} key of OpenSSH without a passphrase ({reason}); "
            "`ssh-keygen -t ed25519 -N '' -f distributor` makes a pair"
        ) from error
