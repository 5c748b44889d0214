"""``collab-asd audit``: what could be made of what a run shared.

What takes long to import is imported where it is used.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import require_writable
from collab_asd.core.progress import show_progress, step
from collab_asd.core.terminal import PlainConsole

console, errors = (PlainConsole(stderr=stderr, soft_wrap=stderr) for stderr in (False, True))


def audit_command(
    folder: Annotated[Path, typer.Argument(metavar="RESULT_DIR", help="Of a run with --set record-view=true.")],
    data: Annotated[
        Path | None, typer.Option(help="Recordings that the adversary has. Default: synthetic machines of six types.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer clips and keys: a first look.")] = False,
    victims: Annotated[str, typer.Option(help="Where the run's recordings lie now, if elsewhere.")] = "",
    weights: Annotated[str, typer.Option(help="Weights of the encoder, if elsewhere than in the run.")] = "",
    key_file: Annotated[str, typer.Option(help="Secret key of the encoder, if elsewhere than in the run.")] = "",
    rotation_key_file: Annotated[str, typer.Option(help="Key of the rotation, if elsewhere than in the run.")] = "",
    device: Annotated[str, typer.Option(help="PyTorch device for encoders and attacks, or auto.")] = RunConfig.device,
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json in place of the tables.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Attack what a run has recorded, and say how far each attack gets; leaves the folder audit/ beside the result."""
    show_progress(logging.WARNING if quiet else logging.INFO, errors)
    RunConfig(device=device)  # refuses what is no device
    _require_valid(folder, data, victims)
    with step("auditing the run"):
        from collab_asd.audit import output as auditing
        from collab_asd.audit.attacks import audit
        from collab_asd.audit.findings import FULL, QUICK, synthetic_sounds
        from collab_asd.audit.run import AuditedRun
        from collab_asd.core.runtime import pin_threads
        from collab_asd.report.privacy import AUDIT

        run = AuditedRun.open(folder, weights, key_file, victims, rotation_key_file, device)
        pin_threads(run.config.threads)
        found = audit(run, data or synthetic_sounds(run.config), QUICK if quick else FULL)
        text = auditing.write(found, run.config, folder / AUDIT)
    if as_json:
        typer.echo(text, nl=False)
        return
    for table in auditing.tables(found):
        console.print(table)
    for missing in found.missing:
        console.print(f"not measured: {missing}", soft_wrap=True)
    console.print(f"audit: {folder / AUDIT}", soft_wrap=True)


def _require_valid(folder: Path, data: Path | None, victims: str) -> None:
    """Find out what is wrong before anything that takes long to import."""
    from collab_asd.data.layouts import layout_of

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the result folder of a run")
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no result folder of a run (no config.json); name one")
    if not (folder / "view").is_dir():
        raise InputError(f"{folder}: holds no recorded view; repeat the run with --set record-view=true")
    if data:
        layout_of(data)
    if victims:
        layout_of(Path(victims))
    require_writable(folder, "give yourself the rights to this one, or copy it elsewhere")
