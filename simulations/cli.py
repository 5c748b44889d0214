"""``collab-asd``: the command line. It knows all methods, so it stands on top."""

from __future__ import annotations

import typer

from simulations.commands.audit import audit_command
from simulations.commands.compare import compare_command
from simulations.commands.data import data_app
from simulations.commands.deploy import deploy_app
from simulations.commands.embed import embed_command
from simulations.commands.encoders import encoders_app
from simulations.commands.errors import FriendlyGroup
from simulations.commands.report import report_command
from simulations.commands.run import run_command
from simulations.commands.score import score_command

ABOUT = "Collaborative anomalous sound detection: one detector from many factories, without sharing recordings."

app = typer.Typer(
    name="collab-asd", cls=FriendlyGroup, help=ABOUT, no_args_is_help=True, pretty_exceptions_enable=False
)
app.command("run")(run_command)
app.command("compare")(compare_command)
app.command("report")(report_command)
app.command("score")(score_command)
app.command("audit")(audit_command)
app.command("embed")(embed_command)
app.add_typer(data_app, name="data")
app.add_typer(encoders_app, name="encoders")
app.add_typer(deploy_app, name="deploy")


if __name__ == "__main__":
    app()
