"""``collab-asd encoders bundle`` and ``unbundle``: f_c from its distributor to the clients, past the server.

What takes long to import is imported where it is used.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from collab_asd.config import RunConfig, parse_assignment
from collab_asd.errors import InputError
from collab_asd.paths import cache_dir
from simulations.terminal import PlainConsole

console = PlainConsole(soft_wrap=True)
DIGEST = re.compile(r"[0-9a-f]{64}")

Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any configuration key; repeatable.")
]


def bundle_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An encoder, as `encoders list` names it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its weights, or for random-conv the secret key.")],
    key: Annotated[Path, typer.Option(help="Your private key: `ssh-keygen -t ed25519 -N '' -f distributor`.")],
    to: Annotated[Path, typer.Option(help="Folder to write the bundle into.")] = Path(),
    settings: Settings = None,
) -> None:
    """Sign an encoder's weights or key for the clients; whoever has the file has the encoder, so send it safely."""
    from collab_asd.encoders import ENCODERS
    from collab_asd.encoders.bundle import load_signing_key, write_bundle

    which = ENCODERS.find(name).file_key
    if not which:
        raise InputError(f"encoder {name!r} has neither weights nor a key that could be distributed")
    if not file.expanduser().is_file():
        raise InputError(f"{file}: no such file; name the weights or the key of {name}")
    chosen = dict(map(parse_assignment, settings or []))
    config = RunConfig.from_mapping({"encoder": name, which: str(file.expanduser())} | chosen)
    bundle, card = write_bundle(config, file.expanduser(), load_signing_key(key.expanduser()), to.expanduser())
    console.print(f'{bundle}\nfor the agreement: encoder-digest = "{card.encoder_digest}"')
    console.print(f"the clients need, too: {key}.pub, over another way than the bundle; the server needs neither")


def unbundle_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="What the distributor sent.")],
    signer: Annotated[Path, typer.Option(help="The distributor's public key.")],
    digest: Annotated[str, typer.Option(help="The encoder's digest that the consortium agreed on.")] = "",
    agreement: Annotated[Path | None, typer.Option(help="Or the agreement that holds it.")] = None,
    to: Annotated[Path | None, typer.Option(help="Folder for the file; by default one in the user's cache.")] = None,
) -> None:
    """Verify a bundle's signature and digest, and put its file where the node's configuration can name it."""
    from collab_asd.encoders import ENCODERS
    from collab_asd.encoders.bundle import load_verifying_key, open_bundle

    agreed = _agreed(digest, agreement)
    folder = to.expanduser().absolute() if to else cache_dir("") / "encoders" / agreed[:16]
    file, card = open_bundle(bundle.expanduser(), load_verifying_key(signer.expanduser()), agreed, folder)
    which = ENCODERS.find(card.encoder).file_key
    console.print(f"{bundle}: signed by {signer}, digest {agreed}")
    console.print(f"for node.toml: {which} = {json.dumps(str(file), ensure_ascii=False)}")


def _agreed(digest: str, agreement: Path | None) -> str:
    if bool(digest) == bool(agreement):
        raise InputError("give the agreed digest, as --digest or as --agreement FILE, not both")
    if agreement is not None:
        digest = _digest_of(agreement.expanduser())
    if not DIGEST.fullmatch(digest):
        raise InputError(f"digest {digest!r}: expected all 64 hexadecimal digits")
    return digest


def _digest_of(agreement: Path) -> str:
    try:
        found = tomllib.loads(agreement.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{agreement}: cannot be read as an agreement ({error})") from error
    if not isinstance(found.get("encoder-digest"), str):
        raise InputError(f"{agreement}: holds no encoder-digest; give it as --digest")
    return str(found["encoder-digest"])
