"""``collab-asd encoders``: which encoders there are, their weights, and signed bundles of them.

What takes long to import is imported where it is used.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from collab_asd.cli.errors import ANOTHER_CACHE, BAD_INPUT, FriendlyGroup
from collab_asd.config import RunConfig, parse_assignment
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir, require_writable
from collab_asd.core.progress import show_progress, step
from collab_asd.core.terminal import PlainConsole
from collab_asd.federation.agreement import Agreement

if TYPE_CHECKING:
    from collab_asd.encoders.weights import WeightSource

DIGEST = re.compile(r"[0-9a-f]{64}")

Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any configuration key; repeatable.")
]


def bundle_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An encoder, as `encoders list` names it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its weights, or for random-conv the secret key.")],
    key: Annotated[Path, typer.Option(help="Your private key: `ssh-keygen -t ed25519 -N '' -f distributor`.")],
    to: Annotated[Path, typer.Option(help="Folder to write the bundle into.")] = Path(),
    days: Annotated[float, typer.Option(help="How long clients may open it.")] = 365,
    number: Annotated[
        int | None, typer.Option(help="Larger than that of your last bundle. Default: the time in seconds.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Sign an encoder's weights or key for the clients; whoever has the file has the encoder, so send it safely."""
    from collab_asd.encoders import ENCODERS, require_valid
    from collab_asd.encoders.bundle import load_signing_key, write_bundle

    require_valid(RunConfig(encoder=name))
    if not file.expanduser().is_file():
        raise InputError(f"{file}: no such file; name the weights or the key of {name}")
    signing_key = load_signing_key(key.expanduser())
    which = ENCODERS.find(name).file_key
    if not which:
        raise InputError(f"encoder {name!r} has neither weights nor a key that could be distributed")
    chosen = dict(map(parse_assignment, settings or []))
    config = RunConfig.from_mapping({"encoder": name, which: str(file.expanduser())} | chosen)
    bundle, card = write_bundle(config, file.expanduser(), signing_key, to.expanduser(), days, number)
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
    expires = datetime.fromtimestamp(card.expires, UTC)
    console.print(f"{bundle}: signed by {signer}, digest {agreed}, number {card.number}, good until {expires:%Y-%m-%d}")
    console.print(f"for node.toml: {which} = {json.dumps(str(file), ensure_ascii=False)}")


def _agreed(digest: str, agreement: Path | None) -> str:
    if bool(digest) == bool(agreement):
        raise InputError("give the agreed digest, as --digest or as --agreement FILE, not both")
    if agreement is not None:
        digest = Agreement.load(str(agreement)).encoder_digest
        if not digest:
            raise InputError(f"{agreement}: holds no encoder-digest; give it as --digest")
    if not DIGEST.fullmatch(digest):
        raise InputError(f"digest {digest!r}: expected all 64 hexadecimal digits")
    return digest


def described(config: RunConfig) -> dict[str, Any]:
    """Tell all there is to know of the configured encoder, and of its weights where the configuration has them.

    Raises
    ------
    InputError
        There is none of that name.
    """
    from collab_asd.encoders import ENCODERS

    found = ENCODERS.find(config.encoder)
    spec, source = found.spec, found.weights(config) if found.weights else None
    return {
        "name": config.encoder,
        "about": found.about,
        "frames_of_10_s": found.clip_frames,
        "dimension": spec.dimension,
        "sample_rate": spec.sample_rate,
        "window": spec.window,
        "hop": spec.hop,
        "stack": spec.stack,
        "stack_hop": spec.stack_hop,
        "privacy": found.privacy,
        "licence": source.licence if source else found.licence,
        "citation": source.citation if source else found.reference,
        "weights": _weights(source, config) if source else None,
    }


def lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Put what `described` tells into labels and texts."""
    rate, weights = found["sample_rate"], found["weights"]
    window, hop = found["window"] / rate, found["hop"] / rate
    yield "encoder", f"{found['name']}. {found['about']}"
    yield "input", f"mono, {rate} Hz; a frame sees {window:.3g} s and comes every {hop:.3g} s"
    yield "frames", f"{found['frames_of_10_s']} x {found['dimension']} for a clip of 10 s"
    yield "stacked", f"{found['stack']} frames, hop {found['stack_hop']}"
    yield "privacy", found["privacy"]
    yield "licence", found["licence"]
    if found["citation"]:
        yield "cite", found["citation"]
    yield "weights", state(weights)
    if weights:
        yield "file", weights["file"]
        yield "from", weights["url"]
        yield "hash", _hash(weights)


def state(weights: dict[str, Any] | None) -> str:
    """Say in two words whether weights are here."""
    if weights is None:
        return "none needed"
    size = f" ({megabytes(weights['bytes'])})" if weights["bytes"] else ""
    return f"{'present' if weights['present'] else 'to download'}{size}"


def given_weights(config: RunConfig) -> Path | None:
    """Return the file or folder that ``--weights`` names."""
    return Path(config.encoder_weights).expanduser() if config.encoder_weights else None


def megabytes(size: int) -> str:
    """Bytes for people, in MB of 10^6 bytes."""
    return f"{size / 1e6:.1f} MB"


def _weights(source: WeightSource, config: RunConfig) -> dict[str, Any]:
    """Say where weights are or would be, and what is known of them."""
    from collab_asd.encoders.weights import known_fingerprint, locate

    file = locate(source, given_weights(config), cache_dir(config.cache_dir))
    expected, present = known_fingerprint(source, file), file.is_file()
    return {
        "present": present,
        "file": str(file),
        "bytes": file.stat().st_size if present else expected.size,
        "url": source.url,
        "sha256": expected.sha256,
        "md5": source.md5,
        "known_by": expected.origin,
    }


def _hash(weights: dict[str, Any]) -> str:
    hashes = [f"{kind} {weights[key]}" for kind, key in (("SHA-256", "sha256"), ("MD5", "md5")) if weights[key]]
    if weights["sha256"]:
        return f"{', '.join(hashes)} ({weights['known_by']})"
    return "; ".join([*hashes, "the SHA-256 of the first download is recorded, and later ones must match"])


ABOUT = "List encoders, and download or verify their weights."
console, errors = (PlainConsole(stderr=stderr, soft_wrap=True) for stderr in (False, True))

encoders_app = typer.Typer(cls=FriendlyGroup, help=ABOUT, no_args_is_help=True)
encoders_app.command("bundle")(bundle_command)
encoders_app.command("unbundle")(unbundle_command)

Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="Encoders, as `encoders list` names them.")]
Weights = Annotated[str, typer.Option(help="Folder of weights, or a file of them, to look at in place of the cache.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no licence.")]


@encoders_app.callback()
def encoders() -> None:
    """List encoders, and download or verify their weights."""


@encoders_app.command("list")
def list_command(weights: Weights = "", settings: Settings = None, as_json: AsJson = False) -> None:
    """Show all encoders: size of their frames, licence, and whether their weights are here."""
    from collab_asd.encoders import ENCODERS

    found = [described(_config(name, weights, settings)) for name, _ in ENCODERS.loadable()]
    if as_json:
        _print_json(found)
        return
    table = Table("encoder", "10-s clip", "Hz", "weights", "licence", box=None, padding=(0, 2, 0, 0))
    for row in found:
        frames = f"{row['frames_of_10_s']} x {row['dimension']}"
        table.add_row(row["name"], frames, str(row["sample_rate"]), state(row["weights"]), row["licence"])
    PlainConsole().print(table)
    for problem in filter(None, map(ENCODERS.problem, ENCODERS)):
        errors.print(problem, style="yellow")


@encoders_app.command("info")
def info_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An encoder, as `encoders list` names it.")],
    weights: Weights = "",
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Tell all there is to know of one encoder, whom to cite included."""
    found = described(_config(name, weights, settings))
    if as_json:
        _print_json(found)
        return
    for label, text in lines(found):
        console.print(f"{label + ':':<10} {text}")


@encoders_app.command("fetch")
def fetch_command(
    names: Names,
    to: Annotated[Path | None, typer.Option(help="Folder to bring them to, such as a stick, not the cache.")] = None,
    mirror: Annotated[str, typer.Option(metavar="URL", help="Where the files lie instead: URL/FILE.")] = "",
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Download weights and verify them; what breaks off goes on when the same command is given again."""
    from collab_asd.encoders.weights import fetch, weights_folder

    configs = _configs(names, "", settings)
    folder = to.expanduser().absolute() if to else weights_folder(cache_dir(configs[0].cache_dir))
    require_writable(folder, "name another with --to" if to else ANOTHER_CACHE)
    sources = {source.filename: _at(mirror, source) for source in map(_source, configs)}
    if not quiet:
        for source in sources.values():
            errors.print(f"{source.name}: licence {source.licence}; cite {source.citation}")
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    with step("fetching weights"):
        files = [fetch(source, folder) for source in sources.values()]
    results = [_verified(source, file) for source, file in zip(sources.values(), files, strict=True)]
    if as_json:
        _print_json([result.as_json() for result in results])
        return
    for result in results:
        console.print(str(result))
    if to:
        console.print(f"next, on a machine without a network: collab-asd run --encoder {names[0]} --weights {folder}")


@encoders_app.command("verify")
def verify_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="Default: all that are here.")] = None,
    weights: Weights = "",
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read weights again and compare them with what is known of them; exit code 2 if any is not right."""
    if weights and not Path(weights).expanduser().is_dir() and len(names or []) != 1:
        raise InputError(f"--weights {weights}: name the one encoder that this file is for, or give a folder")
    configs = _configs(names or _with_weights(), weights, settings)
    files = {_file(config): _source(config) for config in configs}  # two encoders may share one
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    checked = [_verified(source, file) for file, source in files.items()]
    results = [result for result in checked if names or not result.absent]
    if as_json:
        _print_json([result.as_json() for result in results])
    else:
        for result in results:
            console.print(Text(str(result), "red" if result.problem else ""))
        if not results:
            typer.echo("no weights are here yet; `collab-asd encoders fetch NAME` brings some")
    if any(result.problem for result in results):
        raise typer.Exit(BAD_INPUT)


@dataclass(frozen=True)
class Verified:
    """What became of one file: who says that it is right, or what is wrong with it."""

    file: Path
    size: int
    origin: str = ""
    problem: str = ""

    @property
    def absent(self) -> bool:
        """Whether there is no such file."""
        return not self.file.is_file()

    def __str__(self) -> str:
        return self.problem or f"{self.file}: {megabytes(self.size)}, right ({self.origin})"

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        right = not self.problem
        return {"file": str(self.file), "bytes": self.size, "right": right, "by": self.origin, "problem": self.problem}


def _verified(source: WeightSource, file: Path) -> Verified:
    from collab_asd.encoders.weights import check

    if not file.is_file():
        return Verified(file, 0, problem=f"{file}: not there; `collab-asd encoders fetch NAME` brings it")
    size = file.stat().st_size
    try:
        return Verified(file, size, check(source, file))
    except InputError as error:
        return Verified(file, size, problem=str(error))


def _config(name: str, weights: str, settings: list[str] | None) -> RunConfig:
    chosen = dict(map(parse_assignment, settings or []))
    return RunConfig.from_mapping({"encoder": name, "encoder-weights": weights} | chosen)


def _configs(names: list[str], weights: str, settings: list[str] | None) -> list[RunConfig]:
    """Return the configuration of each encoder; all names are looked at before any encoder is imported."""
    from collab_asd import encoders

    configs = [_config(name, weights, settings) for name in names]
    for config in configs:
        encoders.require_valid(replace(config, encoder_weights=""))
    return configs


def _source(config: RunConfig) -> WeightSource:
    from collab_asd import encoders

    source_of = encoders.ENCODERS.find(config.encoder).weights
    if source_of is None:
        raise InputError(f"encoder {config.encoder!r} needs no weights; leave it out")
    return source_of(config)


def _file(config: RunConfig) -> Path:
    from collab_asd.encoders.weights import locate

    return locate(_source(config), given_weights(config), cache_dir(config.cache_dir))


def _at(mirror: str, source: WeightSource) -> WeightSource:
    return replace(source, url=f"{mirror.rstrip('/')}/{source.filename}", requirement="") if mirror else source


def _with_weights() -> list[str]:
    from collab_asd.encoders import ENCODERS

    return sorted(name for name, entry in ENCODERS.loadable() if entry.weights)


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=2))
