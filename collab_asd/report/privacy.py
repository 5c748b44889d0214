"""What audits left beside results: findings as tables and figures, and what was got back, to see and to hear."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from collab_asd.core.errors import InputError
from collab_asd.core.schemas import AUDIT as AUDIT_SCHEMA
from collab_asd.report.contents import Sound
from collab_asd.report.figures import player
from collab_asd.report.tables import Sheet
from collab_asd.report.theme import LIGHT, MARKERS, SERIES, drawing, panels, plain_numbers

AUDIT, JSON, PICTURE, SOUNDS = "audit", "audit.json", "reconstructed.png", "sounds"
NEEDED = ("findings", "parties", "missing")
HOLDINGS = {
    "f_c": "encoder f_c",
    "f_s": "classifier f_s",
    "embeddings": "others' embeddings",
    "complete": "f_c and f_s, which score sound",
}
PARTIES = "What a thief finds at each party"
NO_ALL_CLEAR = "A no is about models alone: what embeddings and sums tell of the recordings stands in the other tables"

Finding = Mapping[str, Any]
"""Attack, knowledge, measure, value, low, high, chance and clips, as in ``audit.json``."""


@dataclass(frozen=True)
class AuditResult:
    """The folder ``audit`` of a result folder, read.

    Parameters
    ----------
    folder : Path
    run : mapping
        What was audited: method, encoder, codec, inference, seed; empty where an older audit did not say.
    findings : sequence of Finding
    parties : sequence of mapping
        Who holds which model.
    missing : sequence of str
    sounds : sequence of mapping
        ``client``, ``adversary`` and ``file`` of each sound.
    """

    folder: Path
    run: Mapping[str, Any]
    findings: Sequence[Finding]
    parties: Sequence[Mapping[str, Any]]
    missing: Sequence[str]
    sounds: Sequence[Mapping[str, Any]]

    @property
    def picture(self) -> Path | None:
        """Spectrograms: truth, and what adversaries make of it."""
        path = self.folder / PICTURE
        return path if path.is_file() else None


@dataclass(frozen=True)
class Player:
    """A sound on the page."""

    adversary: str
    uri: str


def read_audit(results: Path) -> AuditResult | None:
    """Read the audit of a result folder; None where there was none.

    Raises
    ------
    InputError
        It cannot be read.
    """
    folder = results / AUDIT
    if not (folder / JSON).is_file():
        return None
    plain = AUDIT_SCHEMA.read(folder / JSON)
    try:
        findings, parties, missing = (plain[name] for name in NEEDED)
    except KeyError as error:
        raise InputError(f"{folder / JSON}: not an audit ({error}); repeat collab-asd audit") from error
    return AuditResult(folder, plain.get("run", {}), findings, parties, missing, plain.get("sounds", []))


def attack_sheets(findings: Sequence[Finding]) -> list[Sheet]:
    """One table for each attack: adversaries down, measures across, what nothing received would give in the heading."""
    return [_attack(attack, findings) for attack in dict.fromkeys(f["attack"] for f in findings)]


def parties_sheet(parties: Sequence[Mapping[str, Any]]) -> Sheet:
    """Who holds what."""
    rows = tuple((p["name"], *("yes" if p[key] else "no" for key in HOLDINGS)) for p in parties)
    return Sheet("audit_parties", PARTIES, ("party", *HOLDINGS.values()), rows, words=5, footnote=NO_ALL_CLEAR)


def players_of(audit: AuditResult) -> dict[int, list[Player]]:
    """Return the sounds of each client, to carry on a page; what is not there any more is left out."""
    found: dict[int, list[Player]] = {}
    for sound in audit.sounds:
        path = audit.folder / str(sound["file"])
        if path.is_file():
            waveform, rate = soundfile.read(path, dtype="float32")
            uri = player(Sound(waveform, rate))
            found.setdefault(int(sound["client"]), []).append(Player(str(sound["adversary"]), uri))
    return found


def embedded(picture: Path) -> str:
    """Return a PNG file as a ``data:`` URI."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")


def _attack(attack: str, findings: Sequence[Finding]) -> Sheet:
    own = [f for f in findings if f["attack"] == attack]
    measures = list(dict.fromkeys(f["measure"] for f in own))
    chances = {m: {f"{f['chance']:.2f}" for f in own if f["measure"] == m} for m in measures}
    headings = (f"{m} (without: {c.pop() if len(c) == 1 else 'in brackets'})" for m, c in chances.items())
    rows = []
    for name in dict.fromkeys(f["knowledge"] for f in own):
        cells = {f["measure"]: _cell(f) for f in own if f["knowledge"] == name}
        rows.append((name, *(cells.get(measure, "–") for measure in measures)))
    title = f"{attack} (n = {max(f['clips'] for f in own)})"
    return Sheet(f"audit_{_slug(attack)}", title[0].upper() + title[1:], ("the adversary", *headings), tuple(rows))


def _cell(finding: Finding) -> str:
    """Put a distance beside that of a constant guess, all else beside its 95 % interval."""
    if finding["measure"].endswith("dB") and "distance" in finding["measure"]:
        return f"{finding['value']:.1f} ({finding['chance']:.1f})"
    return f"{finding['value']:.2f} ({finding['low']:.2f}–{finding['high']:.2f})".replace("-", "−")


def _slug(words: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in words)


SPEECH, LOUDNESS = "speech near the machine", "AUC at "
QUERIES = "f_c, and f_s distilled by "
INSIDER, OUTSIDER = "knows what a member knows", "knows neither key nor rotation"


def read_audits(folder: Path) -> dict[str, AuditResult]:
    """Read the audits of all result folders in a folder, by their names.

    Raises
    ------
    InputError
        There is none.
    """
    found = {path.name: audit for path in sorted(folder.glob("*/")) if (audit := read_audit(path)) is not None}
    if not found:
        raise InputError(f"{folder}: no result folder in it has an audit; run collab-asd audit on some")
    return found


def against_knowledge(audits: Mapping[str, AuditResult], attack: str, measures: Sequence[str]) -> Figure:
    """Draw what each adversary reaches with its interval, a panel for each measure and a colour for each run.

    Dotted: what an adversary reaches who has received nothing.
    """
    shown = {name: [f for f in a.findings if f["attack"] == attack] for name, a in audits.items()}
    levels = list(dict.fromkeys(f["knowledge"] for own in shown.values() for f in own))
    with drawing():
        figure, axes = panels(len(measures), 0.9 + 0.24 * max(len(levels), 1), most_columns=2)
        for panel, measure in zip(axes, measures, strict=True):
            for number, (name, own) in enumerate(shown.items()):
                points = [f for f in own if f["measure"] == measure]
                heights = [levels.index(f["knowledge"]) + 0.12 * (number - (len(shown) - 1) / 2) for f in points]
                _draw_points(panel, points, heights, number, name)
            _draw_chance(panel, [f for own in shown.values() for f in own if f["measure"] == measure])
            panel.set_title(f"{attack}: {measure}", loc="left")
            panel.set_yticks(range(len(levels)), levels)
            panel.set_ylim(len(levels) - 0.5, -0.5)
            panel.label_outer()
        axes[0].legend(fontsize=7)
    return figure


def speech_panels(audits: Mapping[str, AuditResult]) -> Figure:
    """Draw how well speech is noticed against how loud it is, a panel for each run that has been asked."""
    asked = {name: own for name, a in audits.items() if (own := [f for f in a.findings if f["attack"] == SPEECH])}
    with drawing():
        figure, axes = panels(max(len(asked), 1), 2.7)
        for panel, (name, own) in zip(axes, asked.items(), strict=False):
            for number, level in enumerate(dict.fromkeys(f["knowledge"] for f in own)):
                points = sorted((_loudness(f), f["value"]) for f in own if f["knowledge"] == level)
                panel.plot(*zip(*points, strict=True), MARKERS[number] + "-", color=_colour(number), ms=4, label=level)
            panel.axhline(0.5, color=LIGHT["soft"], linestyle=":", linewidth=1)
            panel.set_title(name, loc="left")
            panel.set(ylim=(0.3, 1.02), xlabel="speech above the machine, dB", ylabel="AUC")
            panel.label_outer()
        axes[0].legend(fontsize=6)
    return figure


def distillation_panel(audit: AuditResult) -> Figure:
    """Draw what a thief reaches by so many queries: detection, and how often its f_s says what the true one says."""
    with drawing():
        figure, axes = panels(2, 2.7, share_y=False)
        for panel, measure in zip(axes, ("detection, AUC", "agreement with f_s"), strict=True):
            own = {f["knowledge"]: f for f in audit.findings if f["measure"] == measure}
            asked = {int(name.removeprefix(QUERIES).split()[0]): f for name, f in own.items() if QUERIES in name}
            values = [f["value"] for f in asked.values()]
            ends = np.array([[f["value"] - f["low"], f["high"] - f["value"]] for f in asked.values()]).T
            panel.errorbar([*asked], values, ends, fmt="o-", color=_colour(0), capsize=2, label="by queries")
            others = [name for name in own if QUERIES not in name]
            for number, name in enumerate(others, start=1):
                panel.axhline(own[name]["value"], color=_colour(number), linestyle="--", linewidth=1, label=name)
            panel.set(xscale="log", xlabel="queries", ylabel=measure)
            plain_numbers(panel.xaxis)
            panel.legend(fontsize=6)
    return figure


def plane(path: Path, measure: str = "re-identified") -> Figure:
    """Draw detection against the success of an attack, as ``benchmarks/privacy_plane.py`` has measured both.

    Full: an adversary that knows what a member knows; hollow: one that misses what is secret. Dotted: chance. Dashed:
    what is reached where nothing leaves the clients. Each point shows what the attacks that were tried reach, no limit.
    """
    sets = {name: points for name, points in json.loads(path.read_bytes()).items() if points}
    with drawing():
        figure, axes = panels(len(sets), 3.4, most_columns=2, share_y=False)
        for panel, (name, points) in zip(axes, sets.items(), strict=True):
            for number, family in enumerate(dict.fromkeys(point["family"] for point in points)):
                _draw_family(panel, [p for p in points if p["family"] == family], measure, number)
            chance = [a["chance"] for p in points for a in p["attacks"] if a["measure"].startswith(measure)]
            panel.axvline(float(np.mean(chance)), color=LIGHT["soft"], linestyle=":", linewidth=1)
            panel.set_title(name, loc="left")
            panel.set(xlabel=measure, ylabel="AUC, fusion")
        axes[0].legend(fontsize=7)
    return figure


def _draw_points(panel: Axes, points: Sequence[Finding], heights: Sequence[float], number: int, name: str) -> None:
    values = [f["value"] for f in points]
    ends = np.array([[f["value"] - f["low"], f["high"] - f["value"]] for f in points]).reshape(-1, 2).T
    panel.errorbar(
        values,
        heights,
        xerr=np.maximum(ends, 0),
        fmt=MARKERS[number % len(MARKERS)],
        color=_colour(number),
        ms=4,
        capsize=2,
        label=name,
    )


def _draw_chance(panel: Axes, points: Sequence[Finding]) -> None:
    for chance in {round(f["chance"], 2) for f in points}:
        panel.axvline(chance, color=LIGHT["soft"], linestyle=":", linewidth=1)


def _draw_family(panel: Axes, points: Sequence[Mapping[str, Any]], measure: str, number: int) -> None:
    if not points[0]["attacks"]:  # nothing left the clients
        panel.axhline(points[0]["auc"]["fusion"], color=LIGHT["soft"], linestyle="--", label=points[0]["family"])
        return
    for place, point in enumerate(points):
        inside, outside = (_best(point, adversary, measure) for adversary in (INSIDER, OUTSIDER))
        auc, colour, marker = point["auc"]["fusion"], _colour(number), MARKERS[number % len(MARKERS)]
        panel.plot([outside, inside], [auc, auc], color=colour, linewidth=0.6)
        panel.plot(inside, auc, marker, color=colour, ms=5, label=point["family"] if place == 0 else None)
        panel.plot(outside, auc, marker, markeredgecolor=colour, markerfacecolor="none", ms=5)


def _best(point: Mapping[str, Any], adversary: str, measure: str) -> float:
    own = [a for a in point["attacks"] if a["adversary"] == adversary and a["measure"].startswith(measure)]
    return max((a["value"] for a in own), default=float("nan"))


def _loudness(finding: Finding) -> float:
    return float(finding["measure"].removeprefix(LOUDNESS).removesuffix(" dB"))


def _colour(number: int) -> str:
    return SERIES[number % len(SERIES)]
