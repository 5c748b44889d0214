"""What an audit left beside a result: its findings as tables, and what was got back, to look at and to listen to."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from collab_asd.errors import InputError
from collab_asd.report.contents import Sound
from collab_asd.report.players import player
from collab_asd.report.sheet import Sheet

AUDIT, JSON, PICTURE, SOUNDS = "audit", "audit.json", "reconstructed.png", "sounds"
NEEDED = ("findings", "parties", "missing")
HOLDINGS = {"f_c": "f_c", "f_s": "f_s", "embeddings": "others' embeddings", "complete": "can detect"}

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
    try:
        plain = json.loads((folder / JSON).read_bytes())
        findings, parties, missing = (plain[name] for name in NEEDED)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / JSON}: not an audit ({error}); repeat collab-asd audit") from error
    return AuditResult(folder, plain.get("run", {}), findings, parties, missing, plain.get("sounds", []))


def attack_sheets(findings: Sequence[Finding]) -> list[Sheet]:
    """One table for each attack: adversaries down, measures across, what nothing received would give in the heading."""
    return [_attack(attack, findings) for attack in dict.fromkeys(f["attack"] for f in findings)]


def parties_sheet(parties: Sequence[Mapping[str, Any]]) -> Sheet:
    """Who holds what."""
    rows = tuple((p["name"], *("yes" if p[key] else "no" for key in HOLDINGS)) for p in parties)
    return Sheet("audit_parties", "What is found at each party", ("party", *HOLDINGS.values()), rows, words=5)


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
