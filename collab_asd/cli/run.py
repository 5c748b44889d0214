"""``collab-asd run``: one run of one method.

What takes long to import is imported where it is used, so that ``--help`` and bad input are answered at once.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from collab_asd.config import RunConfig, check_choice, parse_assignment
from collab_asd.core.errors import InputError
from collab_asd.core.progress import leave_out_flowers_log, line_written, show_progress, step
from collab_asd.core.terminal import PlainConsole, without_colours
from collab_asd.core.types import Partition
from collab_asd.federation.results import read_summary
from collab_asd.methods import METHODS, build_method, fewest_clients

OUR_LINES = re.compile(r"(^|\) |m )\d\d:\d\d:\d\d \S")  # at the start, or behind the name of a Ray actor
ENGINES = ("inprocess", "ray")
SYNTHETIC_CLIENTS = 4
logger = logging.getLogger(__name__)
console, errors = PlainConsole(), PlainConsole(stderr=True, soft_wrap=True)


def run_command(
    data: Annotated[
        str, typer.Option(help="Folder of recordings, or a CSV that lists them. Default: synthetic machines.")
    ] = "",
    layout: Annotated[str, typer.Option(help="Layout of the recordings by name. Default: told from the folder.")] = "",
    clip_seconds: Annotated[
        float | None, typer.Option(help="Length of the clips that longer recordings are cut into, s.")
    ] = None,
    method: Annotated[str, typer.Option(help=f"Method; one of: {', '.join(METHODS)}.")] = RunConfig.method,
    encoder: Annotated[str, typer.Option(help="Encoder, as `collab-asd encoders list` names it.")] = RunConfig.encoder,
    weights: Annotated[
        str, typer.Option(help="Weights of the encoder, not the download: a file, or a folder of them.")
    ] = "",
    engine: Annotated[
        str, typer.Option(help="Where to run: inprocess, or ray (the same through `flwr run`).")
    ] = "inprocess",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Result folder, new or empty. Default: results/TIME-…")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A configuration key; repeatable. `collab-asd config` describes all."
        ),
    ] = None,
    supernodes: Annotated[
        int,
        typer.Option(min=1, help="Number of synthetic machines, one per client; with --data it follows from the data."),
    ] = SYNTHETIC_CLIENTS,
    skip_bad: Annotated[bool, typer.Option(help="Leave out clips that cannot be used, and list them.")] = False,
    allow_mixed: Annotated[
        bool, typer.Option(help="Train although a machine's clips differ in sample rate, bandwidth, DC, padding, …")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show Flower's own log, too.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only the table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json in place of the table.")] = False,
) -> None:
    """Run one method on one set of recordings; print the per-machine table and write the result folder."""
    named = {"method": method, "encoder": encoder, "encoder-weights": weights, "data-dir": data, "seed": seed}
    named |= {"allow-mixed": True} if allow_mixed else {}
    named |= {"layout": layout} if layout else {}
    named |= {} if clip_seconds is None else {"clip-seconds": clip_seconds}
    config = RunConfig.from_mapping(named | dict(map(parse_assignment, settings or [])))
    check_choice("--engine", engine, ENGINES)
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    if not verbose:
        leave_out_flowers_log()
    with step(f"running {config.method}"):
        config, partitions = _prepared(config, out, supernodes, skip_bad)
        from collab_asd.federation import engines
        from collab_asd.federation.results import discard_beginning

        try:
            clients = _count_clients(config, supernodes, partitions)
            if engine == "inprocess":
                folder = engines.run_inprocess(config, clients)
            else:
                logger.info("starting Flower and Ray")
                folder = engines.run_ray(config, clients, lambda line: None if quiet else pass_on(line, verbose))
        except BaseException:
            discard_beginning(Path(config.results_dir))
            raise
    if as_json:
        typer.echo((folder / "summary.json").read_text(encoding="utf-8"), nl=False)
    else:
        _print_results(folder, supernodes)
    if config.report and (folder / "scores.csv").exists():
        with step("drawing the report"):
            from collab_asd.report.run_report import report

            page = report([folder])
        errors.print(f"report:  {page}")


def _prepared(
    config: RunConfig, out: Path | None, supernodes: int, skip_bad: bool
) -> tuple[RunConfig, list[Partition]]:
    """Find out what is wrong before anything starts, and make all paths absolute.

    The clients' recordings are returned, too, where they are known before it is clear what can be used.
    """
    from collab_asd import encoders
    from collab_asd.cli.errors import require_places, require_valid
    from collab_asd.data.run_data import left_out, load_partitions
    from collab_asd.federation.results import default_name, require_unfinished
    from collab_asd.wire.defences.chain import require_keys

    require_valid(config)
    results = Path(out or config.results_dir or Path("results") / default_name(config)).expanduser().absolute()
    require_unfinished(results)
    require_places(results, [config])
    require_keys(config)
    config = replace(config, skip_bad=(skip_bad or config.skip_bad) and bool(config.data_dir))
    partitions: list[Partition] = []
    if not config.skip_bad:  # or else they are counted once it is known what is left
        partitions = load_partitions(config, supernodes) if config.data_dir else []
        _require_clients(config, len(partitions) or supernodes)
    from collab_asd.core.runtime import resolve_device

    config = replace(config, device=resolve_device(config.device))
    build_method(config)
    encoders.build(config)
    if config.skip_bad:
        for line in left_out(config):
            errors.print(f"left out: {line}", style="yellow")
    data_dir = str(Path(config.data_dir).expanduser().absolute()) if config.data_dir else ""
    return replace(config, results_dir=str(results), data_dir=data_dir), partitions


def _count_clients(config: RunConfig, supernodes: int, partitions: list[Partition]) -> int:
    """Return how many clients the run has; refuse recordings that it would come out wrong on, and too few clients."""
    from collab_asd.data.run_data import load_partitions, require_trainable

    if config.skip_bad:
        partitions = load_partitions(config, supernodes)
    if partitions:
        require_trainable(config, partitions, METHODS.find(config.method).tells_machines_apart)
    clients = len(partitions) or supernodes
    _require_clients(config, clients)
    if config.erase:
        from collab_asd.methods.embedding_sharing.client import require_tagged

        require_tagged(config, clients)
    return clients


def _require_clients(config: RunConfig, clients: int) -> None:
    """Refuse a run that has too few clients: say how many are needed, and which options change that."""
    fewest = fewest_clients(config)
    if clients >= fewest:
        return
    if not config.data_dir:
        given, more = f"--supernodes {clients}", f"--supernodes {fewest}"
    elif config.clients:
        given, more = f"clients = {clients}", f"--set clients={fewest}"
    else:
        given, more = f"{config.data_dir}: {clients} machine{'s' * (clients > 1)}", "add recordings of another machine"
    if config.min_clients:
        raise InputError(f"{given}, but min-clients = {fewest}: {more}, or lower it (--set min-clients={clients})")
    raise InputError(
        f"{given}, but method {config.method!r} shares between {fewest} clients or more: {more}, or choose a method "
        "that shares nothing (--method local-mahalanobis)"
    )


def pass_on(line: str, verbose: bool) -> None:
    """Show a line of ``flwr run``: ours, or all."""
    if verbose or OUR_LINES.search(line):
        errors.print(without_colours(line))
        line_written()


def _print_results(folder: Path, supernodes: int) -> None:
    from collab_asd.data.run_data import data_folder
    from collab_asd.report.printing import print_table

    summary = read_summary(folder)
    print_table(console, folder)
    up, seconds = sum(summary["bytes_up"].values()) / 1e6, summary["seconds"]["total"]
    for client, why in summary["excluded"].items():
        console.print(f"client {client} was left out: {why}", style="bold red", soft_wrap=True)
    note = summary["encoder_note"] or "–"
    console.print(f"{up:.1f} MB sent by the clients, {seconds:.0f} s; encoder: {note}", soft_wrap=True)
    console.print(f"recordings: {data_folder(RunConfig.from_mapping(summary['config']), supernodes)}", soft_wrap=True)
    console.print(f"results: {folder}", soft_wrap=True)
