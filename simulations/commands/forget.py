"""``collab-asd deploy forget``: what a server does when a company leaves the consortium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from collab_asd.config import RunConfig
from collab_asd.errors import InputError
from collab_asd.paths import cache_dir
from simulations.alone import alone
from simulations.deployment.settings import SERVER
from simulations.terminal import PlainConsole

console = PlainConsole(soft_wrap=True)
LEFT = """\
What this cannot undo:
- f_s and the codec in this folder were trained with the client's embeddings, and the other clients have both. To be rid
  of that influence, start a new run without the client, in a new folder and not with join.
- Copies elsewhere: backups, freed sectors of the disk, and the SuperLink's database (state/superlink.db), which may
  hold messages. Stop the SuperLink and delete the folder state; keys are registered anew from nodes/ when it starts.
- The client may still connect: take its key from nodes/.
- Results: summary.json still says how many bytes the client sent, and a simulation's scores.csv how it scored."""


def forget_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A server's folder, or one of its results.")],
    client: Annotated[int, typer.Option(min=0, help="Number of the client that leaves.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a client's embeddings from the server, say what that cannot undo, and leave the rest usable."""
    results = _results(folder.expanduser())
    from collab_asd.embedding_sharing.forgetting import holds

    if not yes and any(holds(result, client) for result in results):
        typer.confirm(f"Delete all embeddings and recorded messages of client {client} in {folder}?", abort=True)
    refusals = [why for result in results if (why := _forget(result, client))]
    if len(refusals) == len(results):
        raise InputError("\n".join(refusals) or f"{folder}: holds no results")
    console.print(LEFT)


def _forget(result: Path, client: int) -> str:
    """Delete what one result folder holds; why nothing was deleted, if nothing was."""
    from collab_asd.embedding_sharing.forgetting import forget

    with alone(result, "result"):
        try:
            done = forget(result, client, cache_dir(_config(result).cache_dir) / "classifiers")
        except InputError as error:
            return str(error)
    console.print(
        f"{result}: deleted {done.pages} files of embeddings ({done.page_bytes / 1e6:.1f} MB) of client {client}, "
        f"{done.messages} recorded messages, {done.classifiers} cached copies of f_s"
    )
    if done.shared:
        console.print(
            f"{done.shared} of the files also lie in the folder of a run that joined this one: forget there, too"
        )
    return ""


def _results(folder: Path) -> list[Path]:
    if (folder / SERVER).exists():
        return sorted(path.parent for path in (folder / "results").glob("*/config.json"))
    _config(folder)
    return [folder]


def _config(folder: Path) -> RunConfig:
    try:
        return RunConfig.from_mapping(json.loads((folder / "config.json").read_bytes()))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: is no result folder of a server ({error})") from error
