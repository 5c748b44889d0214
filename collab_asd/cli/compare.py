"""``collab-asd compare``: methods x encoders x scorers x partitions x seeds on the same clips, resumable."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from collab_asd.cli.errors import BAD_INPUT
from collab_asd.config import check_choice, parse_assignment
from collab_asd.core.progress import leave_out_flowers_log, show_progress, step
from collab_asd.core.terminal import PlainConsole
from collab_asd.experiments.experiment import Experiment, find_experiment, shipped_experiments

if TYPE_CHECKING:
    from collab_asd.cli.estimate import Estimate
    from collab_asd.experiments.experiment import Cell
    from collab_asd.experiments.results import Comparison

EXPERIMENTS = shipped_experiments()
FILE_WIDTH = 160  # characters of a line where stdout is no terminal
TALKATIVE = ("collab_asd.methods.embedding_sharing", "collab_asd.data", "simulations.server_app")
console, errors = PlainConsole(), PlainConsole(stderr=True, soft_wrap=True)


def compare_command(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help=f"Experiment file (TOML), or one of: {', '.join(EXPERIMENTS)}.")
    ],
    data: Annotated[str, typer.Option(help="Recordings, in place of those that the file names.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the comparison; taken up again if it exists. Default: results/NAME.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="ENCODER=FILE", help="Weights of an encoder, or a folder of them; repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Configuration key of all cells; repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once, each in a process of its own.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and which of them are done.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show what each run logs.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only the table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print states and statistics in place of the table.")] = False,
) -> None:
    """Compare methods on the same recordings: run what is not done yet, then write table, figures and page.

    Exit code 0 if all cells are finished, 2 if one failed; what the others found is written all the same.
    """
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    file = find_experiment(experiment)
    chosen = _with_options(Experiment.read(file), data, weights or [])
    overrides = dict(map(parse_assignment, settings or []))
    folder = (out or Path("results") / chosen.name).expanduser().absolute()
    cells = chosen.cells(folder, overrides)
    _require_valid(chosen, cells, folder, dry_run)
    if dry_run:
        with step("estimating the cost"):
            estimate = _estimate(chosen, cells)
        _list(cells, estimate, as_json)
        return
    with nullcontext() if verbose else _briefly(), step("comparing methods"):
        comparison = _carry_out(chosen, cells, folder, jobs, _command(experiment, chosen, weights or [], overrides))
    _print(comparison, folder, as_json)
    if not comparison.complete:
        raise typer.Exit(BAD_INPUT)


def _require_valid(experiment: Experiment, cells: Sequence[Cell], folder: Path, dry_run: bool) -> None:
    """Find out what is wrong before anything starts; a dry run needs no recordings, weights or folders yet."""
    from collab_asd.cli.errors import require_places, require_valid

    for cell in cells:
        config = cell.config
        require_valid(replace(config, data_dir="", encoder_weights="", encoder_key_file="") if dry_run else config)
    if not dry_run:
        experiment.require_recordings()
        require_places(folder, [cell.config for cell in cells])


@contextmanager
def _briefly() -> Iterator[None]:
    """Leave out what each of the many runs says for itself, but for warnings."""
    leave_out_flowers_log()
    loggers = {name: logging.getLogger(name) for name in TALKATIVE}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, level in levels.items():
            loggers[name].setLevel(level)


def _with_options(experiment: Experiment, data: str, weights: Sequence[str]) -> Experiment:
    """Let the command line have its way with the data and with the encoders' weights."""
    data_dir = str(Path(data).expanduser().absolute()) if data else experiment.data_dir
    by_encoder: dict[str, Mapping[str, object]] = dict(experiment.encoder_settings)
    for encoder, file in map(parse_assignment, weights):
        check_choice("--weights: of encoders,", encoder, experiment.all_encoders)
        by_encoder[encoder] = {
            **by_encoder.get(encoder, {}),
            "encoder-weights": str(Path(file).expanduser().absolute()),
        }
    return replace(experiment, data_dir=data_dir, encoder_settings=by_encoder)


def _carry_out(experiment: Experiment, cells: Sequence[Cell], out: Path, jobs: int, command: str) -> Comparison:
    from collab_asd.experiments.results import collect, write_comparison
    from collab_asd.experiments.runner import compare
    from collab_asd.federation.engines import count_clients

    by_number = {(cell.config.mixed, cell.config.clients): cell.config for cell in cells}
    clients = max(count_clients(config, experiment.machines) for config in by_number.values())
    compare(cells, clients, out, jobs)
    comparison = collect(experiment, cells)
    write_comparison(out, comparison, command)
    return comparison


def _estimate(experiment: Experiment, cells: Sequence[Cell]) -> Estimate:
    from collab_asd.cli.estimate import Estimate
    from collab_asd.experiments.runner import require_possible

    require_possible(cells)
    return Estimate.of(experiment, cells)


def _list(cells: Sequence[Cell], estimate: Estimate, as_json: bool) -> None:
    if as_json:
        states = [{"name": cell.name, "state": cell.state, "error": cell.error} for cell in cells]
        typer.echo(json.dumps({"cells": states, "forecast": estimate.as_json()}, indent=2))
        return
    table = Table("cell", "state", "", box=None, padding=(0, 2, 0, 0))
    for cell in cells:
        table.add_row(cell.name, cell.state, cell.error)
    console.print(table)
    finished = sum(cell.state == "finished" for cell in cells)
    console.print(f"{len(cells)} cells, {finished} finished, {len(cells) - finished} to run")
    if finished < len(cells):
        estimate.show(_wide())


def _wide() -> PlainConsole:
    """Return stdout with room for a table."""
    return console if console.is_terminal else PlainConsole(width=FILE_WIDTH)


def _print(comparison: Comparison, out: Path, as_json: bool) -> None:
    from collab_asd.experiments.results import as_json as to_json
    from collab_asd.experiments.tables import against_sharing, comparison_sheet, failure_sheet, terminal_table

    if as_json:
        typer.echo(to_json(out, comparison))
        return
    title = f"{comparison.experiment.name}: means over machines and seeds"
    if against_sharing(comparison.rows):
        title += "; bold: more than chance"
    shown = _wide()
    shown.print(terminal_table(comparison_sheet(comparison.rows), title, shown))
    if not comparison.complete:
        shown.print(terminal_table(failure_sheet(comparison.cells), "not finished", shown), style="red")
    console.print(f"report:  {out / 'report.html'}", soft_wrap=True)


def _command(name: str, experiment: Experiment, weights: Sequence[str], overrides: Mapping[str, str]) -> str:
    """Return what repeats the comparison; where results and embeddings lie changes no figure."""
    words = ["collab-asd", "compare", name]
    words += ["--data", experiment.data_dir] if experiment.data_dir else []
    words += [word for given in weights for word in ("--weights", given)]
    words += [word for key, value in overrides.items() if key != "cache-dir" for word in ("--set", f"{key}={value}")]
    return shlex.join(words)
