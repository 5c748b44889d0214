"""What an audit leaves behind: tables for the terminal, JSON, pictures and sounds of what was got back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import soundfile
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from collab_asd.audit.findings import TRUTH, Audit
from collab_asd.audit.spectra import MEL_BANDS, SAMPLE_RATE, sound_of
from collab_asd.audit.threat_models import ARCHITECTURE, KNOWS, LENGTHS, MEMBER, SHUFFLED
from collab_asd.config import RunConfig
from collab_asd.core.files import replacing
from collab_asd.core.progress import step
from collab_asd.core.schemas import AUDIT as AUDIT_SCHEMA
from collab_asd.core.types import FloatArray
from collab_asd.report.privacy import JSON, PICTURE, SOUNDS, attack_sheets, parties_sheet
from collab_asd.report.tables import Sheet

LISTENED, LONGEST_S = 2, 6  # clients, and seconds of each clip


def tables(audit: Audit) -> Iterator[Table]:
    """One table for each attack, and who holds what."""
    for sheet in attack_sheets([finding.to_plain() for finding in audit.findings]):
        yield _table(sheet)
    yield _table(parties_sheet([party.to_plain() for party in audit.parties]))


def _table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.caption, table.caption_justify = sheet.footnote or None, "left"
    for heading in sheet.headings:
        table.add_column(heading)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def to_plain(audit: Audit, config: RunConfig) -> dict[str, Any]:
    """Lay out for JSON, but for pictures and sounds."""
    return {
        **AUDIT_SCHEMA.stamp,
        "run": {key: getattr(config, key) for key in ("method", "encoder", "codec", "inference", "seed")},
        "findings": [finding.to_plain() for finding in audit.findings],
        "parties": [party.to_plain() for party in audit.parties],
        "missing": audit.missing,
    }


def write(audit: Audit, config: RunConfig, folder: Path) -> str:
    """Write JSON and, where spectrograms were got back, a picture and sounds into a folder; return the JSON."""
    with step("writing sounds"):
        sounds = [] if not audit.pictures else list(_write_sounds(audit, folder))
    text = json.dumps(to_plain(audit, config) | {"sounds": sounds}, indent=2) + "\n"
    if audit.pictures:
        with replacing(folder / PICTURE) as file:
            draw(audit.pictures).savefig(file, format="png", dpi=80)
    with replacing(folder / JSON) as file:
        file.write(text.encode())
    return text


def _write_sounds(audit: Audit, folder: Path) -> Iterator[dict[str, Any]]:
    """Write what was recorded, and what adversaries make of it, for some clients."""
    for place, client in enumerate(sorted(audit.recordings)[:LISTENED]):
        yield _write_sound(folder, client, TRUTH, audit.recordings[client])
        for name in _heard(audit):
            yield _write_sound(folder, client, name, sound_of(audit.pictures[name][place], audit.hop))


def _write_sound(folder: Path, client: int, adversary: str, waveform: FloatArray) -> dict[str, Any]:
    name = f"{SOUNDS}/client-{client}-{''.join(c if c.isalnum() else '-' for c in adversary)}.wav"
    (folder / SOUNDS).mkdir(parents=True, exist_ok=True)
    samples = waveform[: LONGEST_S * SAMPLE_RATE]
    peak = max(float(np.abs(samples).max(initial=0.0)), 1e-9)
    soundfile.write(folder / name, samples / peak / 2, SAMPLE_RATE, subtype="PCM_16")
    return {"client": client, "adversary": adversary, "file": name}


def _heard(audit: Audit) -> list[str]:
    return [name for name in (KNOWS, ARCHITECTURE, "10 clips leaked") if name in audit.pictures]


def draw(pictures: dict[str, list[FloatArray]]) -> Figure:
    """Draw the truth ``[spectra, bands]`` of one clip of each attacked client beside what the adversary makes of it."""
    chosen = [
        TRUTH,
        KNOWS,
        MEMBER,
        LENGTHS,
        ARCHITECTURE,
        *(f"{count} clips leaked" for count in (10, 100)),
        SHUFFLED,
    ]
    shown = [name for name in chosen if name in pictures]
    count = len(pictures[TRUTH])
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(2.4 * len(shown), 1.6 * count), layout="constrained")
        panels = figure.subplots(count, len(shown), squeeze=False)
        for column, name in enumerate(shown):
            panels[0][column].set_title(name)
            for row, spectra in enumerate(pictures[name]):
                truth = pictures[TRUTH][row]
                style = {"vmin": truth.min(), "vmax": truth.max(), "cmap": "magma", "interpolation": "nearest"}
                panels[row][column].imshow(spectra.T, origin="lower", aspect="auto", **style)
                panels[row][column].set(xticks=[], yticks=[0, MEL_BANDS - 1], yticklabels=[])
    return figure
