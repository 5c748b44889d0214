"""``collab-asd methods``: which methods there are, what leaves the clients, and which packages add some."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from collab_asd.core.types import RAW_ENCODERS
from collab_asd.methods import METHODS, MethodSpec

OTHERS = f"all but {', '.join(RAW_ENCODERS)}"


def methods_command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all methods: what leaves the clients, which encoders they read, and the package of those that were added."""
    specs = dict(METHODS.loadable())
    found = [_described(name, specs.get(name)) for name in METHODS]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table = Table("method", "leaves the clients", "encoders", "package", box=None, padding=(0, 2, 0, 0))
    for row in found:
        table.add_row(row["name"], row["shares"], ", ".join(row["encoders"]) or OTHERS, row["package"])
    Console().print(table)
    for row in found:
        if row["problem"]:
            typer.echo(row["problem"], err=True)


def _described(name: str, spec: MethodSpec | None) -> dict[str, Any]:
    return {
        "name": name,
        "summary": spec.summary if spec else "",
        "shares": spec.shares if spec else "–",
        "encoders": list(spec.encoders) if spec else [],
        "package": " and ".join(METHODS.packages(name)) or "collab-asd",
        "problem": METHODS.problem(name),
    }
