"""``collab-asd``: the command line. It knows all methods, so it stands on top."""

from __future__ import annotations

import typer

from simulations.cli_compare import compare_command
from simulations.cli_data import data_app
from simulations.cli_errors import FriendlyGroup
from simulations.cli_report import report_command
from simulations.cli_run import run_command
from simulations.cli_score import score_command

ABOUT = "Collaborative anomalous sound detection: one detector from many factories, without sharing recordings."

app = typer.Typer(
    name="collab-asd", cls=FriendlyGroup, help=ABOUT, no_args_is_help=True, pretty_exceptions_enable=False
)
app.command("run")(run_command)
app.command("compare")(compare_command)
app.command("report")(report_command)
app.command("score")(score_command)
app.add_typer(data_app, name="data")


if __name__ == "__main__":
    app()
