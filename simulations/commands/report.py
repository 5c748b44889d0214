"""``collab-asd report``: draw the page of finished runs again, or several runs on one page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulations.logs import show_progress


def report_command(
    folders: Annotated[list[Path], typer.Argument(metavar="RESULT_DIR…", help="Folders of finished runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page. Default: the run's own; results/compared for several.")
    ] = None,
    sounds: Annotated[bool, typer.Option(help="Let the page carry the recordings that it shows.")] = True,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Write report.html, its figures, and its tables as CSV and LaTeX."""
    show_progress(logging.WARNING if quiet else logging.INFO, Console(stderr=True))
    from simulations.reporting import report

    typer.echo(f"report: {report(folders, out, sounds)}")
