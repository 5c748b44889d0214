"""``collab-asd config``: what each configuration key means, its default, and what it accepts."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated, Any

import typer
from rich.table import Table

from collab_asd.config import Range, Setting, check_choice, settings
from collab_asd.core.errors import KINDS
from collab_asd.core.terminal import PlainConsole
from collab_asd.federation.agreement import CODEC_BASES, ENCODER_DIGEST
from collab_asd.federation.bases import BASES, MOST_BASES
from collab_asd.methods import METHODS

OPTIONS = {  # of `collab-asd run`, beside --set
    **{key: f"--{key}" for key in ("method", "encoder", "seed")},
    "data-dir": "--data",
    "encoder-weights": "--weights",
    "results-dir": "--out",
}
AGREED = {  # keys of a deployment's agreement.toml that no run has
    CODEC_BASES: Setting(
        CODEC_BASES, "", int, BASES, "bases of the codec by which a node sends embeddings, in all runs together",
        Range(f"from 1 to {MOST_BASES:,}", lambda x: 1 <= x <= MOST_BASES),
    ),
    ENCODER_DIGEST: Setting(ENCODER_DIGEST, "", str, "", "digest that the encoder of each node must have; empty: any"),
}  # fmt: skip
FILE_WIDTH = 160  # characters of a line where stdout is no terminal


def config_command(
    key: Annotated[str, typer.Argument(metavar="[KEY]", help="A configuration key. Default: list all keys.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe the configuration keys of a run, or one of them: meaning, default, type and choices.

    Set a key with `--set KEY=VALUE` (run, compare, embed, deploy) or `flwr run --run-config "KEY=VALUE"`.
    """
    known = settings() | (AGREED if key in AGREED else {})
    if key:
        check_choice("configuration key", key, known, see="`collab-asd config` lists all")
    if as_json:
        described = [_described(setting) for setting in known.values()]
        typer.echo(json.dumps(_described(known[key]) if key else described, indent=2))
    elif key:
        _show(known[key])
    else:
        _list(known.values())


def _list(known: Collection[Setting]) -> None:
    console = PlainConsole()
    table = Table("key", "default", "meaning", box=None, padding=(0, 2, 0, 0))
    for setting in known:
        table.add_row(setting.key, _written(setting.default), setting.description)
    shown = console if console.is_terminal else PlainConsole(width=FILE_WIDTH)
    shown.print(table)


def _show(setting: Setting) -> None:
    console = PlainConsole(soft_wrap=True)
    facts = _described(setting)
    console.print(f"{setting.key}: {setting.description}")
    console.print(f"default: {_written(setting.default) or '(empty)'}")
    if facts["choices"]:
        console.print(f"choices: {', '.join(facts['choices'])}")
    else:
        console.print(f"type:    {facts['type']}{', ' if facts['range'] else ''}{facts['range']}")
    option = OPTIONS.get(setting.key)
    by_option = f"--set {setting.key}=VALUE{f', or {option} VALUE' if option else ''}"
    in_file = "agreement.toml of a deployment, the same file at all parties"
    console.print(f"set by:  {in_file if setting.key in AGREED else by_option}")


def _described(setting: Setting) -> dict[str, Any]:
    return {
        "key": setting.key,
        "description": setting.description,
        "default": setting.default,
        "type": KINDS.get(setting.type, KINDS[str]).removeprefix("a "),
        "range": setting.range.words if setting.range else "",
        "choices": list(_choices(setting)),
    }


def _choices(setting: Setting) -> Collection[str]:
    """Return all names that a key accepts; those of methods, encoders and scorers are registered elsewhere."""
    from collab_asd.detection.scorers import FUSION, SCORERS
    from collab_asd.encoders import ENCODERS

    registered: dict[str, Collection[str]] = {
        "method": METHODS,
        "encoder": ENCODERS,
        "scorer": [FUSION, *SCORERS],
        "shared-scorer": SCORERS,
        "local-scorer": SCORERS,
    }
    return registered.get(setting.key, setting.choices)


def _written(value: str | float) -> str:
    """Return a value as it is written after ``--set KEY=``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
