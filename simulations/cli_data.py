"""``collab-asd data``: look at recordings before training on them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from collab_asd.data.check import DataReport, MachineRow, check
from collab_asd.data.layouts import find_clips
from collab_asd.data.partition import GROUP_BY
from collab_asd.data.problems import Severity, describe
from collab_asd.errors import InputError

BAD_INPUT = 2
STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}

data_app = typer.Typer(help="Make and inspect recordings.", no_args_is_help=True)


@data_app.callback()
def data() -> None:
    """Make and inspect recordings."""


@data_app.command("check")
def check_command(
    data_dir: Annotated[Path, typer.Argument(help="Folder of recordings, or a CSV file that lists them.")],
    channel: Annotated[int, typer.Option(help="Channel to use, counted from 0.")] = 0,
    seconds: Annotated[float, typer.Option(help="Shortest usable clip: one embedding window, s.")] = 1.0,
    group_by: Annotated[str, typer.Option(help=f"Machines that share a classifier: {' or '.join(GROUP_BY)}.")] = (
        GROUP_BY[0]
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Show the machines of a data folder and all problems; exit code 2 when training would be wrong."""
    try:
        report = _examine(data_dir, channel, seconds, group_by)
    except InputError as error:
        Console(stderr=True).print(Text(str(error), "red"), soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    if as_json:
        typer.echo(json.dumps(_as_json(report), indent=2))
    else:
        _show(report, Console())
    if report.count("error"):
        raise typer.Exit(BAD_INPUT)


def _examine(data_dir: Path, channel: int, seconds: float, group_by: str) -> DataReport:
    """Progress goes to stderr, so that stdout stays a table or JSON."""
    console = Console(stderr=True)
    with console.status("listing and hashing"):
        clips = find_clips(data_dir, channel)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("decoding", total=len(clips))
        return check(data_dir, clips, seconds, group_by, on_clip=lambda: progress.advance(task))


def _as_json(report: DataReport) -> dict[str, Any]:
    problems = [{**dataclasses.asdict(problem), "path": str(problem.path or "")} for problem in report.problems]
    return {
        "fit_to_train": report.count("error") == 0,
        "machines": [dataclasses.asdict(row) for row in report.machines],
        "problems": problems,
    }


def _show(report: DataReport, console: Console) -> None:
    console.print(_table(report.machines))
    for severity, line in describe(report.problems):
        console.print(Text.assemble((severity, STYLES[severity]), " ", line), soft_wrap=True)
    verdict = "training would be wrong" if report.count("error") else "fit to train on"
    counts = ", ".join(f"{report.count(severity)} {severity}s" for severity in STYLES)
    console.print(f"{verdict}: {counts}", soft_wrap=True)


def _table(machines: tuple[MachineRow, ...]) -> Table:
    table = Table(caption="clips: normal / anomaly / unlabelled")
    for column in ("machine", "train", "test", "total s", "clip s", "Hz", "channels"):
        table.add_column(column, justify="left" if column == "machine" else "right")
    for row in machines:
        table.add_row(
            f"{row.machine_type}/{row.machine_id}",
            f"{row.train_normal} / {row.train_anomaly} / {row.train_unlabelled}",
            f"{row.test_normal} / {row.test_anomaly} / {row.test_unlabelled}",
            f"{row.seconds:.1f}",
            f"{row.shortest:.1f}" if row.shortest == row.longest else f"{row.shortest:.1f}-{row.longest:.1f}",
            " ".join(map(str, row.rates)),
            " ".join(map(str, row.channels)),
        )
    return table
