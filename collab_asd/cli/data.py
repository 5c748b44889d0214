"""``collab-asd data``: get recordings, and look at them before training on them."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.table import Table
from rich.text import Text

from collab_asd.cli.errors import BAD_INPUT, FriendlyGroup
from collab_asd.config import GroupBy, RunConfig, check_choice
from collab_asd.core import progress
from collab_asd.core.errors import InputError
from collab_asd.core.files import require_writable
from collab_asd.core.progress import show_progress, step
from collab_asd.core.terminal import PlainConsole, printable
from collab_asd.data.download.dcase import BENCHMARKS, WHAT, Benchmark, archives
from collab_asd.data.download.unpack import free_space, gigabytes
from collab_asd.data.synthetic import SyntheticSettings

if TYPE_CHECKING:
    from collab_asd.data.check import DataReport, MachineRow
    from collab_asd.data.download.plan import Plan
    from collab_asd.data.download.run import Outcome
    from collab_asd.data.problems import Severity

console = PlainConsole(soft_wrap=True)
PART_NAMES = "; ".join(f"{name} ({what})" for name, what in WHAT.items())

download_app = typer.Typer(cls=FriendlyGroup, help="Download a published benchmark.", no_args_is_help=True)


@download_app.callback()
def download() -> None:
    """Download a published benchmark: resumable, verified, safely unpacked."""


def download_command(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Data folder to download into. Default: data/NAME.")
    ] = None,
    types: Annotated[str, typer.Option(help="Machine types, with commas. Default: all.")] = "",
    parts: Annotated[str, typer.Option(help=f"Parts, with commas: {PART_NAMES}.")] = "dev",
    mirror: Annotated[str, typer.Option(metavar="URL", help="Where the zips lie instead: URL/NAME.zip.")] = "",
    zips: Annotated[Path | None, typer.Option("--from", help="Folder of zips that you have; they are kept.")] = None,
    keep_zips: Annotated[bool, typer.Option("--keep-zips", help="Keep downloaded zips in DIR/.download.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and its size.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no licence.")] = False,
) -> None:
    """Download a benchmark from Zenodo; what breaks off goes on when the same command is given again."""
    from collab_asd.data.download import plan, run

    name = str(context.info_name)
    benchmark, folder = BENCHMARKS[name], folder or Path("data") / name
    chosen, source = archives(name, types, parts), plan.Source(mirror, zips)
    require_writable(folder, "name another folder")
    if dry_run:
        _tell_plan(run.prepare(folder, chosen, source), benchmark, keep_zips, as_json)
        return
    errors = PlainConsole(stderr=True)
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    if not quiet:
        errors.print(Text(f"licence: {benchmark.terms}\ncite: {benchmark.citation}"), soft_wrap=True)
    with progress.step("downloading"):
        outcome = run.download(folder, chosen, source, keep_zips)
    _tell_outcome(outcome, benchmark, as_json)


for _name, _benchmark in BENCHMARKS.items():
    download_app.command(
        _name,
        help=f"Download DCASE {_benchmark.year} Task 2 from Zenodo; the same command resumes what broke off. Machine "
        f"types: {', '.join(_benchmark.types)}.",
    )(download_command)


def _tell_plan(plan: Plan, benchmark: Benchmark, keep_zips: bool, as_json: bool) -> None:
    needed, free = plan.needed(keep_zips), free_space(plan.folder)
    if as_json:
        _print_json(_plan_as_json(plan, benchmark) | {"needed_bytes": needed, "free_bytes": free})
        return
    for archive in plan.complete:
        console.print(f"{archive.name}: complete")
    for planned in plan.steps:
        size = "size unknown" if planned.remote.size is None else gigabytes(planned.remote.size)
        console.print(f"{planned.archive.name}: {size} from {planned.local or planned.remote.url}")
    for note in plan.notes:
        console.print(note)
    console.print(f"{plan.folder}: needs {gigabytes(needed)}, has {gigabytes(free)} free; licence: {benchmark.terms}")


def _tell_outcome(outcome: Outcome, benchmark: Benchmark, as_json: bool) -> None:
    plan, next_command = outcome.plan, f"collab-asd data check {shlex.quote(str(outcome.plan.folder))}"
    if as_json:
        _print_json(
            _plan_as_json(plan, benchmark)
            | {"recordings": outcome.recordings, "not_verified": outcome.not_verified, "next": next_command}
        )
        return
    done = f"zips unpacked now: {len(plan.steps)}, before: {len(plan.complete)}"
    unverified = f"; not verified by MD5: {', '.join(outcome.not_verified)}" if outcome.not_verified else ""
    console.print(f"{plan.folder}: {outcome.recordings} recordings; {done}{unverified}; next: {next_command}")


def _plan_as_json(plan: Plan, benchmark: Benchmark) -> dict[str, Any]:
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
        "licence": benchmark.terms,
        "citation": benchmark.citation,
    }


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2))


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
    layout: Annotated[str, typer.Option(help="Layout by name; default: told from the folder.")] = "",
    clip_seconds: Annotated[float, typer.Option(help="Length of the clips that longer recordings are cut into, s.")] = (
        RunConfig.clip_seconds
    ),
    group_by: Annotated[str, typer.Option(help=f"Machines that share a classifier: {' or '.join(GROUP_BY)}.")] = (
        RunConfig.group_by
    ),
    allow_mixed: Annotated[
        bool, typer.Option(help="Warn only where a machine's clips differ in sample rate, bandwidth, DC, padding, …")
    ] = False,
    attribute: Annotated[str, typer.Option(help="For --group-by attribute: which one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Show the machines of a data folder and all problems; exit code 2 when training would be wrong."""
    check_choice("--group-by", group_by, GROUP_BY)
    if not seconds > 0:
        raise InputError(f"--seconds {seconds}: must be more than 0")
    config = RunConfig.from_mapping(
        {
            "layout": layout,
            "clip-seconds": clip_seconds,
            "channel": channel,
            "group-by": group_by,
            "attribute": attribute,
        }
    )
    show_progress(logging.WARNING if quiet else logging.INFO, PlainConsole(stderr=True))
    with step("checking the recordings"):
        from collab_asd.data.check import check
        from collab_asd.data.layouts import layout_of, list_clips

        detected = layout_of(data_dir, config.layout)
        clips, refused, unread, left_out = list_clips(data_dir, config.channel, detected.name, config.clip_seconds)
        report = check(
            data_dir, clips, seconds, config.grouping, allow_mixed=allow_mixed,
            refused=refused, unread=unread, left_out=left_out,
        )  # fmt: skip
    if as_json:
        shown = {"layout": {"name": detected.name, "why": detected.why}}
        typer.echo(json.dumps(shown | _as_json(report), indent=2))
    else:
        console.print(Text(f"layout: {detected.name} ({printable(detected.why)})"), soft_wrap=True)
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
    from collab_asd.data.synthetic.dataset import write_dataset

    settings = SyntheticSettings(machines, seed, train, test_normal, test_anomaly, seconds)
    show_progress(logging.WARNING if quiet else logging.INFO, PlainConsole(stderr=True))
    write_dataset(folder, settings)
    PlainConsole(soft_wrap=True).print(f"{folder}: {machines} machine{'s' * (machines != 1)}")


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
    _caution(report)
    verdict = "training would be wrong" if report.count("error") else "fit to train on"
    counts = ", ".join(f"{(n := report.count(severity))} {severity}{'s' * (n != 1)}" for severity in STYLES)
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


def _caution(report: DataReport) -> None:
    """Say what covariance sharing would tell of these recordings."""
    if report.count("error") or len(report.machines) < 2:
        return
    dof: Counter[str] = Counter()
    for row in report.machines:
        dof[row.machine_type if report.group_by == "machine-type" else "all"] += max(
            row.train_normal + row.train_unlabelled - 1, 0
        )
    typer.echo(
        "if you share covariances: one client's matrix, and the difference of two sums when a client "
        "joins or leaves, tell "
        "whoever holds a recording whether it is in it. Even a sum hides that only from about 2560 degrees of freedom "
        f"on; here: {', '.join(f'{group} {count}' for group, count in sorted(dof.items()))} (docs/privacy.md)"
    )


CLIPS = {
    "train_normal": "train\nnormal",
    "train_anomaly": "train\nfaulty",
    "train_unlabelled": "train\nunlabelled",
    "test_normal": "test\nnormal",
    "test_anomaly": "test\nfaulty",
    "test_unlabelled": "test\nunlabelled",
}
ALWAYS_SHOWN = ("train_normal", "test_normal", "test_anomaly")


def _table(machines: tuple[MachineRow, ...]) -> Table:
    """One row per machine; only its name and its sample rates are broken where the terminal is narrow."""
    from collab_asd.report.tables import empty_table

    table = empty_table("Clips of each machine")
    counts = [name for name in CLIPS if name in ALWAYS_SHOWN or any(getattr(row, name) for row in machines)]
    table.add_column("machine", overflow="fold")
    for heading in (*(CLIPS[name] for name in counts), "total\ns", "clip\ns"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("rate\nHz", justify="right", overflow="fold")
    table.add_column("channels", justify="right", overflow="fold")
    for row in machines:
        table.add_row(
            printable(f"{row.machine_type}/{row.machine_id}"),
            *(str(getattr(row, name)) for name in counts),
            f"{row.seconds:.1f}",
            f"{row.shortest:.1f}" if row.shortest == row.longest else f"{row.shortest:.1f}–{row.longest:.1f}",
            " ".join(map(str, row.rates)),
            " ".join(map(str, row.channels)),
        )
    return table
