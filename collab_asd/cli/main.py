"""``collab-asd``: the command line. It knows all methods, so it stands on top."""

from __future__ import annotations

import gc
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from collab_asd.cli.audit import audit_command
from collab_asd.cli.compare import compare_command
from collab_asd.cli.config import config_command
from collab_asd.cli.data import data_app
from collab_asd.cli.deploy import deploy_app
from collab_asd.cli.embed import embed_command
from collab_asd.cli.encoders import encoders_app
from collab_asd.cli.errors import FriendlyGroup
from collab_asd.cli.methods import methods_command
from collab_asd.cli.report import report_command
from collab_asd.cli.run import run_command
from collab_asd.cli.score import score_command
from collab_asd.core.terminal import prepare_streams, read_names_as_utf8

ABOUT = "Collaborative anomalous sound detection: one detector from many factories, without sharing recordings."

RARELY = 50_000, 20, 100
"""Of Python's garbage collection: what is imported stays, and searching it for garbage takes a fifth of an import."""

app = typer.Typer(
    name="collab-asd", cls=FriendlyGroup, help=ABOUT, no_args_is_help=True, pretty_exceptions_enable=False
)


def print_version(asked: bool) -> None:
    """Print the versions that a report of a fault should name, and end."""
    if asked:
        others = ", ".join(f"{name} {_version(name)}" for name in ("flwr", "torch", "torchaudio"))
        typer.echo(f"collab-asd {_version('collab-asd')} (Python {platform.python_version()}, {others})")
        raise typer.Exit


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@app.callback(help=ABOUT)
def collab_asd(
    show_version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print versions and exit.")
    ] = False,
) -> None:
    """Collaborative anomalous sound detection; the help is `ABOUT`."""


app.command("run")(run_command)
app.command("compare")(compare_command)
app.command("report")(report_command)
app.command("score")(score_command)
app.command("audit")(audit_command)
app.command("embed")(embed_command)
app.command("config")(config_command)
app.command("methods")(methods_command)
app.add_typer(data_app, name="data")
app.add_typer(encoders_app, name="encoders")
app.add_typer(deploy_app, name="deploy")


def main(*arguments: Any, **options: Any) -> None:
    """Run the program; arguments and options are those of a click command."""
    gc.set_threshold(*RARELY)
    read_names_as_utf8()
    prepare_streams()
    app(*arguments, **options)


if __name__ == "__main__":
    main()
