"""``collab-asd data download``: a published benchmark into a data folder."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from collab_asd import progress
from collab_asd.data.download.dcase2020 import CITATION, LICENCE, PARTS, TYPES, archives
from collab_asd.data.download.space import free_space, gigabytes
from simulations.commands.errors import FriendlyGroup
from simulations.logs import show_progress
from simulations.terminal import PlainConsole

if TYPE_CHECKING:
    from collab_asd.data.download.plan import Plan
    from collab_asd.data.download.run import Outcome

console = PlainConsole(soft_wrap=True)
PART_NAMES = "; ".join(f"{name} ({part.what})" for name, part in PARTS.items())

download_app = typer.Typer(cls=FriendlyGroup, help="Download a published benchmark.", no_args_is_help=True)


@download_app.callback()
def download() -> None:
    """Download a published benchmark: resumable, verified, safely unpacked."""


@download_app.command("dcase2020")
def dcase2020_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data folder to download into.")] = Path(
        "data/dcase2020"
    ),
    types: Annotated[str, typer.Option(help=f"Machine types, with commas: {', '.join(TYPES)}. Default: all.")] = "",
    parts: Annotated[str, typer.Option(help=f"Parts, with commas: {PART_NAMES}.")] = "dev",
    mirror: Annotated[str, typer.Option(metavar="URL", help="Where the zips lie instead: URL/NAME.zip.")] = "",
    zips: Annotated[Path | None, typer.Option("--from", help="Folder of zips that you have; they are kept.")] = None,
    keep_zips: Annotated[bool, typer.Option("--keep-zips", help="Keep downloaded zips in DIR/.download.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and its size.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no licence.")] = False,
) -> None:
    """Download DCASE 2020 Task 2 from Zenodo; what breaks off goes on when the same command is given again."""
    from collab_asd.data.download import plan, run  # imports requests, which the other commands need not wait for

    chosen, source = archives(types, parts), plan.Source(mirror, zips)
    if dry_run:
        _tell_plan(run.prepare(folder, chosen, source), keep_zips, as_json)
        return
    errors = PlainConsole(stderr=True)
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    if not quiet:
        errors.print(Text(f"licence: {LICENCE}\ncite: {CITATION}"), soft_wrap=True)
    with progress.step("downloading"):
        outcome = run.download(folder, chosen, source, keep_zips)
    _tell_outcome(outcome, as_json)


def _tell_plan(plan: Plan, keep_zips: bool, as_json: bool) -> None:
    needed, free = plan.needed(keep_zips), free_space(plan.folder)
    if as_json:
        _print_json(_plan_as_json(plan) | {"needed_bytes": needed, "free_bytes": free})
        return
    for archive in plan.complete:
        console.print(f"{archive.name}: complete")
    for step in plan.steps:
        size = "size unknown" if step.remote.size is None else gigabytes(step.remote.size)
        console.print(f"{step.archive.name}: {size} from {step.local or step.remote.url}")
    for note in plan.notes:
        console.print(note)
    console.print(f"{plan.folder}: needs {gigabytes(needed)}, has {gigabytes(free)} free; licence: {LICENCE}")


def _tell_outcome(outcome: Outcome, as_json: bool) -> None:
    plan, next_command = outcome.plan, f"collab-asd data check {shlex.quote(str(outcome.plan.folder))}"
    if as_json:
        _print_json(
            _plan_as_json(plan)
            | {"recordings": outcome.recordings, "not_verified": outcome.not_verified, "next": next_command}
        )
        return
    done = f"zips unpacked now: {len(plan.steps)}, before: {len(plan.complete)}"
    unverified = f"; not verified by MD5: {', '.join(outcome.not_verified)}" if outcome.not_verified else ""
    console.print(f"{plan.folder}: {outcome.recordings} recordings; {done}{unverified}; next: {next_command}")


def _plan_as_json(plan: Plan) -> dict[str, Any]:
    steps = [
        {
            "name": step.archive.name,
            "part": step.archive.part,
            "machine_type": step.archive.machine_type,
            "source": str(step.local or step.remote.url),
            "bytes": step.remote.size,
            "md5": step.remote.md5,
        }
        for step in plan.steps
    ]
    return {
        "folder": str(plan.folder),
        "zips": steps,
        "complete_before": [archive.name for archive in plan.complete],
        "notes": plan.notes,
        "licence": LICENCE,
        "citation": CITATION,
    }


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2))
