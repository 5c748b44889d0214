"""``collab-asd encoders``: which encoders there are, and their weights.

What takes long to import is imported where it is used.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from collab_asd.config import RunConfig, parse_assignment
from collab_asd.errors import InputError
from collab_asd.paths import cache_dir
from collab_asd.progress import step
from simulations.commands.bundles import bundle_command, unbundle_command
from simulations.commands.encoder_facts import described, given_weights, lines, megabytes, state
from simulations.commands.errors import BAD_INPUT, FriendlyGroup
from simulations.logs import show_progress
from simulations.terminal import PlainConsole

if TYPE_CHECKING:
    from collab_asd.encoders.weights import WeightSource

ABOUT = "List encoders, and download or verify their weights."
console, errors = (PlainConsole(stderr=stderr, soft_wrap=True) for stderr in (False, True))

encoders_app = typer.Typer(cls=FriendlyGroup, help=ABOUT, no_args_is_help=True)
encoders_app.command("bundle")(bundle_command)
encoders_app.command("unbundle")(unbundle_command)

Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="Encoders, as `encoders list` names them.")]
Weights = Annotated[str, typer.Option(help="Folder of weights, or a file of them, to look at in place of the cache.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any configuration key; repeatable.")
]
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

    configs = [_config(name, "", settings) for name in names]
    sources = {source.filename: _at(mirror, source) for source in map(_source, configs)}
    folder = to.expanduser().absolute() if to else weights_folder(cache_dir(configs[0].cache_dir))
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
    configs = [_config(name, weights, settings) for name in names or _with_weights()]
    if weights and not Path(weights).expanduser().is_dir() and len(names or []) != 1:
        raise InputError(f"--weights {weights}: name the one encoder that this file is for, or give a folder")
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


def _source(config: RunConfig) -> WeightSource:
    from collab_asd import encoders

    encoders.require_valid(replace(config, encoder_weights=""))
    source_of = encoders.ENCODERS.find(config.encoder).weights
    if source_of is None:
        raise InputError(f"encoder {config.encoder!r} needs no weights; leave it out")
    return source_of(config)


def _file(config: RunConfig) -> Path:
    from collab_asd.encoders.weights import locate

    return locate(_source(config), given_weights(config), cache_dir(config.cache_dir))


def _at(mirror: str, source: WeightSource) -> WeightSource:
    return replace(source, url=f"{mirror.rstrip('/')}/{source.filename}") if mirror else source


def _with_weights() -> list[str]:
    from collab_asd.encoders import ENCODERS

    return sorted(name for name, entry in ENCODERS.loadable() if entry.weights)


def _print_json(content: object) -> None:
    typer.echo(json.dumps(content, indent=2))
