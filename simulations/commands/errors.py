"""How the command line ends on bad input: one message, exit code 2, no traceback."""

from __future__ import annotations

from typing import Any

import click
import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from collab_asd.errors import InputError
from collab_asd.tested_releases import untested

BAD_INPUT = 2


class FriendlyGroup(TyperGroup):
    """A group of commands whose `InputError` is a message to the user."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            message = str(error)
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "flwr" or not (message := untested("flwr")):
                raise
        Console(stderr=True).print(Text(f"error: {message}", "red"), soft_wrap=True)
        raise typer.Exit(BAD_INPUT)
