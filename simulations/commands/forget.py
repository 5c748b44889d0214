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

LEFT = """\
What this cannot undo:
- f_s and the codec in this folder were trained with the client's embeddings, and the other clients have both. To be rid
  of that influence, start a new run without the client, in a new folder and not with join.
- Copies elsewhere: backups, freed sectors of the disk, and the SuperLink's database, which may hold messages. Stop the
  SuperLink, delete its database and register the other clients' keys again.
- Results: summary.json still says how many bytes the client sent, and a simulation's scores.csv how it scored."""


def forget_command(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="Result folder of the server.")],
    client: Annotated[int, typer.Option(min=0, help="Number of the client that leaves.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a client's embeddings from the server, say what that cannot undo, and leave the rest usable."""
    from collab_asd.embedding_sharing.forgetting import forget

    folder = result.expanduser()
    config = _config(folder)
    if not yes:
        typer.confirm(f"Delete all embeddings and recorded messages of client {client} in {folder}?", abort=True)
    with alone(folder, "result"):
        done = forget(folder, client, cache_dir(config.cache_dir) / "classifiers")
    typer.echo(
        f"client {client}: deleted {done.pages} files of embeddings ({done.page_bytes / 1e6:.1f} MB), "
        f"{done.messages} recorded messages, {done.classifiers} cached copies of f_s"
    )
    if done.shared:
        typer.echo(
            f"{done.shared} of the files also lie in the folder of a run that joined this one: forget there, too"
        )
    typer.echo(LEFT)


def _config(folder: Path) -> RunConfig:
    try:
        return RunConfig.from_mapping(json.loads((folder / "config.json").read_bytes()))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: is no result folder of a server ({error})") from error
