"""``collab-asd report``: draw the page of finished runs again, or several runs on one page."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Annotated

import typer

from collab_asd.core.errors import InputError
from collab_asd.core.files import filling, require_writable
from collab_asd.core.progress import show_progress, step
from collab_asd.core.terminal import PlainConsole

COMPARED = Path("results/compared")


def report_command(
    folders: Annotated[list[Path], typer.Argument(metavar="RESULT_DIR…", help="Folders of finished runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page. Default: the run's own; results/compared for several.")
    ] = None,
    sounds: Annotated[bool, typer.Option(help="Let the page carry the recordings that it shows.")] = True,
    recordings_per_day: Annotated[
        float, typer.Option(help="Recordings of a machine per day, to count false alarms per week.")
    ] = 24.0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Write report.html, its figures, and its tables as CSV and LaTeX."""
    if not 0 < recordings_per_day < math.inf:
        raise InputError(f"--recordings-per-day {recordings_per_day:g}: must be a positive number")
    show_progress(logging.WARNING if quiet else logging.INFO, PlainConsole(stderr=True))
    from collab_asd.cli.errors import ANOTHER_OUT
    from collab_asd.federation.results import read_summary

    for folder in folders:
        read_summary(folder)
    chosen = out.expanduser() if out else folders[0] if len(folders) == 1 else COMPARED
    require_writable(chosen, ANOTHER_OUT)
    with step("drawing the report"), filling(chosen):
        from collab_asd.report.run_report import report

        page = report(folders, chosen, sounds, recordings_per_day)
    PlainConsole(soft_wrap=True).print(f"report: {page}")
