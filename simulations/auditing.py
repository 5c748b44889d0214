"""What an audit leaves behind: tables for the terminal, JSON, and a picture of what was reconstructed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from collab_asd.atomic import replacing
from collab_asd.interfaces import FloatArray
from collab_asd.privacy.audit import TRUTH, Audit
from collab_asd.privacy.knowledge import ARCHITECTURE, KNOWS, LENGTHS, MEMBER, SHUFFLED
from collab_asd.privacy.measures import Finding
from collab_asd.privacy.retrieval import DISTANCE
from collab_asd.privacy.spectra import MEL_BANDS

AUDIT, JSON, PICTURE = "audit", "audit.json", "reconstructed.png"


def findings_tables(findings: Sequence[Finding]) -> Iterator[Table]:
    """One table for each attack: what the adversary knows, by measure."""
    for attack in sorted({f.attack for f in findings}):
        own = [f for f in findings if f.attack == attack]
        measures = list(dict.fromkeys(f.measure for f in own))
        table = _table(f"{attack}, {max(f.clips for f in own)} clips")
        table.add_column("the adversary")
        for measure in measures:
            chances = {f"{f.chance:.2f}" for f in own if f.measure == measure}
            table.add_column(f"{measure}\nwithout: {chances.pop() if len(chances) == 1 else 'in brackets'}")
        for name in dict.fromkeys(f.knowledge for f in own):
            cells = {f.measure: _cell(f) for f in own if f.knowledge == name}
            table.add_row(name, *(cells.get(measure, "–") for measure in measures))
        yield table


def _cell(finding: Finding) -> str:
    if finding.measure == DISTANCE:
        return f"{finding.value:.1f} ({finding.chance:.1f})"
    return f"{finding.value:.2f} ({finding.low:.2f}–{finding.high:.2f})"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def parties_table(audit: Audit) -> Table:
    """Who holds what."""
    table = _table("model stealing: what is found at each party")
    for column in ("party", "f_c", "f_s", "others' embeddings", "can detect"):
        table.add_column(column)
    for party in audit.parties:
        holds = (party.f_c, party.f_s, party.embeddings, party.complete)
        table.add_row(party.name, *("yes" if held else "no" for held in holds))
    return table


def to_json(audit: Audit) -> str:
    """Lay out all but the pictures."""
    plain = {
        "findings": [finding.to_plain() for finding in audit.findings],
        "parties": [party.to_plain() for party in audit.parties],
        "missing": audit.missing,
    }
    return json.dumps(plain, indent=2) + "\n"


def write(audit: Audit, folder: Path) -> None:
    """Write JSON and picture into a folder."""
    with replacing(folder / JSON) as file:
        file.write(to_json(audit).encode())
    with replacing(folder / PICTURE) as file:
        draw(audit.pictures).savefig(file, format="png", dpi=100)


def draw(pictures: dict[str, list[FloatArray]]) -> Figure:
    """Draw the truth ``[spectra, bands]`` of one clip of each attacked client beside what the adversary makes of it."""
    chosen = [
        TRUTH,
        KNOWS,
        MEMBER,
        LENGTHS,
        ARCHITECTURE,
        *(n for n in pictures if n.startswith(("10 ", "100 "))),
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
                panels[row][column].imshow(
                    spectra.T, origin="lower", aspect="auto", vmin=truth.min(), vmax=truth.max(), cmap="magma"
                )
                panels[row][column].set(xticks=[], yticks=[0, MEL_BANDS - 1], yticklabels=[])
    return figure
