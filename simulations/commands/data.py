"""``collab-asd data``: get recordings, and look at them before training on them."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.table import Table
from rich.text import Text

from collab_asd.config import GroupBy, RunConfig, check_choice
from collab_asd.data.synthetic.settings import SyntheticSettings
from collab_asd.paths import require_writable
from collab_asd.printable import printable
from collab_asd.progress import step
from simulations.commands.download import download_app
from simulations.commands.errors import BAD_INPUT, FriendlyGroup
from simulations.logs import show_progress
from simulations.terminal import PlainConsole

if TYPE_CHECKING:
    from collab_asd.data.check import DataReport, MachineRow
    from collab_asd.data.problems import Severity

DEFAULTS = SyntheticSettings()
GROUP_BY: tuple[str, ...] = get_args(GroupBy)
STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}

data_app = typer.Typer(cls=FriendlyGroup, help="Make, download and inspect recordings.", no_args_is_help=True)
data_app.add_typer(download_app, name="download")


@data_app.callback()
def data() -> None:
    """Make, download and inspect recordings."""


@data_app.command("check")
def check_command(
    data_dir: Annotated[Path, typer.Argument(help="Folder of recordings, or a CSV file that lists them.")],
    channel: Annotated[int, typer.Option(help="Channel to use, counted from 0.")] = 0,
    seconds: Annotated[float, typer.Option(help="Shortest usable clip: one embedding window, s.")] = 1.0,
    group_by: Annotated[str, typer.Option(help=f"Machines that share a classifier: {' or '.join(GROUP_BY)}.")] = (
        RunConfig.group_by
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Show the machines of a data folder and all problems; exit code 2 when training would be wrong."""
    check_choice("--group-by", group_by, GROUP_BY)
    show_progress(logging.WARNING if quiet else logging.INFO, PlainConsole(stderr=True))
    with step("checking the recordings"):
        from collab_asd.data.check import check
        from collab_asd.data.layouts import find_clips

        report = check(data_dir, find_clips(data_dir, channel), seconds, group_by)
    if as_json:
        typer.echo(json.dumps(_as_json(report), indent=2))
    else:
        _show(report, PlainConsole())
        _recommend(report, data_dir, channel)
    if report.count("error"):
        raise typer.Exit(BAD_INPUT)


@data_app.command("synth")
def synth_command(
    folder: Annotated[Path, typer.Argument(help="New or empty folder to write the recordings to.")],
    machines: Annotated[int, typer.Option(help="Number of machines, spread over up to six types.")] = DEFAULTS.machines,
    train: Annotated[int, typer.Option(help="Normal training clips of each machine.")] = DEFAULTS.train,
    test_normal: Annotated[int, typer.Option(help="Normal test clips of each machine.")] = DEFAULTS.test_normal,
    test_anomaly: Annotated[int, typer.Option(help="Faulty test clips of each machine.")] = DEFAULTS.test_anomaly,
    seconds: Annotated[float, typer.Option(help="Length of a clip, s.")] = DEFAULTS.seconds,
    seed: Annotated[int, typer.Option(help="The same seed makes the same files.")] = DEFAULTS.seed,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Make machines that one can hear, with faults; metadata.csv tells what each clip is."""
    require_writable(folder, "name another folder")
    from collab_asd.data.synthetic.dataset import write_dataset  # here, because it takes a second to import

    settings = SyntheticSettings(machines, seed, train, test_normal, test_anomaly, seconds)
    show_progress(logging.WARNING if quiet else logging.INFO, PlainConsole(stderr=True))
    write_dataset(folder, settings)
    PlainConsole(soft_wrap=True).print(f"{folder}: {machines} machines")


def _as_json(report: DataReport) -> dict[str, Any]:
    problems = [{**dataclasses.asdict(problem), "path": str(problem.path or "")} for problem in report.problems]
    return {
        "fit_to_train": report.count("error") == 0,
        "fit_without_sharing": report.fits_without_sharing,
        "machines": [dataclasses.asdict(row) for row in report.machines],
        "problems": problems,
    }


def _show(report: DataReport, console: PlainConsole) -> None:
    from collab_asd.data.problems import describe

    console.print(_table(report.machines))
    for severity, line in describe(report.problems):
        console.print(Text.assemble((severity, STYLES[severity]), " ", line), soft_wrap=True)
    verdict = "training would be wrong" if report.count("error") else "fit to train on"
    counts = ", ".join(f"{report.count(severity)} {severity}s" for severity in STYLES)
    console.print(f"{verdict}: {counts}", soft_wrap=True)


def _recommend(report: DataReport, data_dir: Path, channel: int) -> None:
    """Print what runs on machines that are fit, but have no other beside them to share with."""
    if not report.count("error") or not report.fits_without_sharing:
        return
    command = ["collab-asd", "run", "--data", str(data_dir), *(["--set", f"channel={channel}"] if channel else [])]
    ways = {"with nothing shared": ["--method", "local-mahalanobis"]}
    if len(report.machines) > 1 and report.group_by != "all":
        ways["with all machines in one group"] = ["--set", "group-by=all"]
    for way, options in ways.items():
        typer.echo(f"{way}, they are fit: {shlex.join([*command, *options])}")


def _table(machines: tuple[MachineRow, ...]) -> Table:
    table = Table(caption="clips: normal / anomaly / unlabelled")
    for column in ("machine", "train", "test", "total s", "clip s", "Hz", "channels"):
        table.add_column(column, justify="left" if column == "machine" else "right", overflow="fold")
    for row in machines:
        table.add_row(
            printable(f"{row.machine_type}/{row.machine_id}"),
            f"{row.train_normal} / {row.train_anomaly} / {row.train_unlabelled}",
            f"{row.test_normal} / {row.test_anomaly} / {row.test_unlabelled}",
            f"{row.seconds:.1f}",
            f"{row.shortest:.1f}" if row.shortest == row.longest else f"{row.shortest:.1f}-{row.longest:.1f}",
            " ".join(map(str, row.rates)),
            " ".join(map(str, row.channels)),
        )
    return table
