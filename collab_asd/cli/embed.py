"""``collab-asd embed``: encode all recordings ahead of the runs that need them.

What takes long to import is imported where it is used.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from collab_asd.cli.errors import BAD_INPUT
from collab_asd.config import RunConfig, parse_assignment
from collab_asd.core.files import cache_dir, require_writable
from collab_asd.core.progress import show_progress, step
from collab_asd.core.terminal import PlainConsole

if TYPE_CHECKING:
    from collab_asd.core.types import Clip
    from collab_asd.data.audio import ClipError
    from collab_asd.data.problems import Problem

console, errors = (PlainConsole(stderr=stderr, soft_wrap=True) for stderr in (False, True))


def embed_command(
    data: Annotated[Path, typer.Argument(help="Folder of recordings, or a CSV file that lists them.")],
    encoder: Annotated[str, typer.Option(help="Encoder, as `collab-asd encoders list` names it.")] = RunConfig.encoder,
    weights: Annotated[str, typer.Option(help="Weights of the encoder, a file or a folder of them.")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core, as far as memory goes.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the runs to come: a public demo key depends on it.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any configuration key; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Encode recordings into the cache, so that runs need not; what is there is skipped.

    Exit code 2 if some recordings cannot be used; all others are encoded all the same.
    """
    named = {"encoder": encoder, "encoder-weights": weights, "data-dir": str(data), "seed": seed}
    config = RunConfig.from_mapping(named | dict(map(parse_assignment, settings or [])))
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    from collab_asd import encoders
    from collab_asd.cli.errors import ANOTHER_CACHE
    from collab_asd.data.layouts import find_clips, layout_of
    from collab_asd.data.run_data import how

    encoders.require_valid(config)
    layout_of(data, config.layout)
    require_writable(cache_dir(config.cache_dir), ANOTHER_CACHE)
    began = time.monotonic()
    with step("embedding recordings"):
        from collab_asd.encoders import precompute

        todo = precompute.missing(config, find_clips(data, *how(config)))
        faults = precompute.embed(config, todo.clips, _processes(jobs, len(todo.clips)))
    outcome: dict[str, Any] = {
        "encoder": config.encoder,
        "folder": str(cache_dir(config.cache_dir) / "embeddings"),
        "embedded": len(todo.clips) - len(faults),
        "cached_before": todo.cached,
        "seconds": round(time.monotonic() - began, 1),
    }
    _tell(outcome, _problems(faults, data), as_json)
    if faults:
        raise typer.Exit(BAD_INPUT)


def _processes(jobs: int, clips: int) -> int:
    """Return how many processes are worth it: no more than clips, cores (unless asked for) and free memory allow."""
    from collab_asd.experiments.runner import affordable

    wanted = min(jobs or _cores(), max(1, clips))
    return affordable(wanted, []) if wanted > 1 else 1


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _problems(faults: Sequence[tuple[Clip, ClipError]], data: Path) -> list[Problem]:
    from collab_asd.data.layouts import clip_name
    from collab_asd.data.problems import Problem

    return [
        Problem("error", clip_name(clip, data), fault.what, fault.remedy, fault.path, fault.detail)
        for clip, fault in faults
    ]


def _tell(outcome: dict[str, Any], problems: Sequence[Problem], as_json: bool) -> None:
    from collab_asd.data.problems import describe

    if as_json:
        listed = [{**dataclasses.asdict(problem), "path": str(problem.path)} for problem in problems]
        typer.echo(json.dumps(outcome | {"problems": listed}, indent=2))
        return
    for severity, line in describe(problems):
        errors.print(Text.assemble((severity, "bold red"), " ", line))
    bad = f", {len(problems)} cannot be used" if problems else ""
    console.print(
        "{encoder}: {embedded} clips embedded in {seconds:.0f} s, {cached_before} were there".format(**outcome)
        + f"{bad}; in {outcome['folder']}"
    )
