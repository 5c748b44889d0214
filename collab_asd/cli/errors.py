"""How the command line refuses: one message and exit code 2 on bad input, 130 on Ctrl-C, and no traceback on either.

What is wrong with a request is found before anything is begun: nothing here imports what takes long, or leaves a trace.
"""

from __future__ import annotations

import atexit
import errno
import inspect
import logging
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_type_hints

import click
import typer
from typer.core import TyperArgument, TyperGroup

from collab_asd import encoders
from collab_asd.config import RunConfig, nearest
from collab_asd.core.errors import InputError, refusal
from collab_asd.core.files import cache_dir, require_writable
from collab_asd.core.processes import Terminated, terminated_as_interrupted
from collab_asd.core.releases import untested
from collab_asd.core.terminal import PlainConsole
from collab_asd.data.layouts import layout_of
from collab_asd.federation import flwr_compat
from collab_asd.methods import require_possible

log = logging.getLogger(__name__)
ANOTHER_OUT, ANOTHER_CACHE = "name another folder with --out", "name another with --set cache-dir=FOLDER"
BAD_INPUT, INTERRUPTED, TERMINATED = 2, 130, 143
NO_HOME = "Could not determine home directory."  # what `Path.expanduser` says of ~ and ~nobody


class HomePath(click.Path):
    """A path that may begin with ``~``, which shells leave alone in ``--out=~/results``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path with the home folder in place of ``~``."""
        return super().convert(os.path.expanduser(value), param, ctx)


class FriendlyGroup(TyperGroup):
    """A group of commands that ends on an `InputError`, or what the operating system refuses, with one message.

    SIGTERM ends a command as Ctrl-C does.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command whose paths may begin with ``~``, with the help of its arguments.

        Typer up to 0.20, which is the newest that Flower allows, loses that help beside click from 8.5.
        """
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.callback is not None:
            hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
            for parameter in command.params:
                if isinstance(parameter.type, click.Path):
                    parameter.type = HomePath()
                if isinstance(parameter, TyperArgument) and not parameter.help:
                    (parameter.help,) = (info.help for info in hints[parameter.name or ""].__metadata__)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; name the nearest where there is none."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = " or ".join(map(repr, nearest(name, self.commands)))
            advice = f"did you mean {near}?" if near else f"choose one of {', '.join(self.commands)}"
            raise click.UsageError(f"No such command {name!r}: {advice}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            with terminated_as_interrupted():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            for number in (signal.SIGINT, signal.SIGTERM):  # a second one is not to end in a traceback at exit
                atexit.register(signal.signal, number, signal.SIG_IGN)
            PlainConsole(stderr=True).print("interrupted")
            raise typer.Exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED) from None
        except InputError as error:
            message = str(error)
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "flwr" or not (message := untested("flwr")):
                raise
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the output has gone, which click handles
                raise
            message = refusal(error)
            log.debug("refused by the operating system", exc_info=True)
        except RuntimeError as error:
            if str(error) != NO_HOME:
                raise
            message = "a path begins with ~, and the home folder that it stands for is not known; write it in full"
        PlainConsole(stderr=True, soft_wrap=True).print(f"error: {message}", style="red")
        raise typer.Exit(BAD_INPUT)


def require_valid(config: RunConfig) -> None:
    """Refuse an untested Flower, names and paths that do not exist, and what does not go together.

    Raises
    ------
    InputError
        Names the key, its value, and what it may be.
    """
    from collab_asd.detection.scorers import DetectorSettings
    from collab_asd.wire.codecs import parse

    flwr_compat.require_tested()
    encoders.require_valid(config)
    require_possible(config)
    DetectorSettings.of(config)
    parse(config.codec)
    if config.recording_conditions:
        from collab_asd.data.conditions import conditions

        conditions(config.recording_conditions)
    if config.data_dir:
        layout_of(Path(config.data_dir), config.layout)
    require_folders({"join": config.join} if config.join else {})


def require_folders(named: dict[str, str | Path | None]) -> None:
    """Refuse folders that do not exist, each by the key or option that names it; empty names are left alone.

    Raises
    ------
    InputError
        Names the first.
    """
    for key, folder in named.items():
        if folder and not Path(folder).expanduser().is_dir():
            raise InputError(f"{key} = {folder}: no such folder")


def require_places(results: Path, configs: Iterable[RunConfig]) -> None:
    """Refuse a result folder, or a cache folder of a run, that cannot be written.

    Raises
    ------
    InputError
        Names the folder, and how to name another.
    """
    require_writable(results, ANOTHER_OUT)
    for cache in {cache_dir(config.cache_dir) for config in configs}:
        require_writable(cache, ANOTHER_CACHE)
