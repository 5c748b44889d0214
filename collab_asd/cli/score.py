"""``collab-asd score``: tomorrow's recordings, judged by a saved detector.

What takes long to import is imported where it is used: the first verdict is to come within seconds.
"""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collab_asd.cli.errors import BAD_INPUT
from collab_asd.core.errors import InputError
from collab_asd.core.files import require_writable
from collab_asd.core.processes import Terminated
from collab_asd.core.progress import show_progress
from collab_asd.core.terminal import PlainConsole, printable
from collab_asd.detection.choice import SavedDetector, choose, choose_all, find_detectors, undecided

if TYPE_CHECKING:
    from collab_asd.detection.origin import Hint
    from collab_asd.monitoring.monitor import Monitor, Verdict

COLUMNS = ("clip", "anomaly_score", "threshold", "decision", "nearest_normal", "hint", "p_value")
notes, errors = (PlainConsole(stderr=True, soft_wrap=True) for _ in range(2))


class Format(StrEnum):
    """How verdicts are printed."""

    text = "text"
    csv = "csv"
    json = "json"


def score_command(
    detector: Annotated[
        Path,
        typer.Argument(
            help="Result folder of a run, or one machine's folder in its detectors/. Of several detectors, each "
            "recording's name tells which (normal_id_01_00000001.wav)."
        ),
    ],
    paths: Annotated[list[Path], typer.Argument(help="Recordings, or folders of recordings.")],
    output: Annotated[Format, typer.Option("--format", help="Text, CSV, or JSON (one object per line).")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    watch: Annotated[bool, typer.Option(help="Go on with what comes into the folder, until Ctrl-C.")] = False,
    explain: Annotated[
        Path | None,
        typer.Option(help="Folder for a picture of each alarm (when, at what pitch), at the recording's path in it."),
    ] = None,
    false_alarm_rate: Annotated[float | None, typer.Option(help="Set the threshold for another rate.")] = None,
    weights: Annotated[str, typer.Option(help="Weights of the encoder, if the run was given some.")] = "",
    key_file: Annotated[str, typer.Option(help="Secret key of the encoder, if the run had one.")] = "",
    rotation_key_file: Annotated[str, typer.Option(help="Key of the embeddings' rotation, if the run had one.")] = "",
    normals: Annotated[Path | None, typer.Option(help="Where the training recordings lie now, for --explain.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notes, only verdicts and errors.")] = False,
) -> None:
    """Score new recordings with a saved detector; exit code 2 if any could not be scored."""
    show_progress(logging.ERROR if quiet else logging.WARNING)
    notes.quiet = quiet
    if explain is not None:
        require_writable(explain, "name another folder with --explain")
    if normals is not None and not normals.exists():
        raise InputError(f"--normals {normals}: no such folder; name the one that holds the training recordings")
    if false_alarm_rate is not None and not 0 < false_alarm_rate < 1:
        raise InputError(f"--false-alarm-rate {false_alarm_rate}: must lie between 0 and 1")
    incoming = _incoming(paths, watch)
    detectors = find_detectors(detector)
    _require_valid(detectors, weights, key_file, rotation_key_file)
    if not watch:
        choose_all(detectors, incoming, detector)
    from collab_asd.monitoring.monitor import Monitor

    show = _printer(Format.json if as_json else output, watch)

    @cache
    def session_of(folder: Path) -> Session:
        monitor = Monitor.open(folder, weights, key_file, false_alarm_rate, rotation_key_file)
        return sessions.setdefault(folder, Session(monitor, show, explain, normals, watch))

    sessions: dict[Path, Session] = {}
    undecided_count = 0
    if len(detectors) == 1:
        session_of(detectors[0].folder)  # before the first recording comes
    stopped: KeyboardInterrupt | None = None
    try:
        for path in incoming:
            if (chosen := choose(detectors, path)) is not None:
                session_of(chosen.folder).judge([path])
            else:
                undecided_count += 1
                errors.print(_stamped(f"refused: {undecided(detectors, [path], detector)}", bool(watch)), style="red")
    except KeyboardInterrupt as stop:
        stopped = stop
        if watch:
            notes.print(_stamped("stopped", watch))
    if not quiet:
        for session in sessions.values():
            session.report_count()
            session.report_origin()
            session.report_drift()
    if stopped is not None and (isinstance(stopped, Terminated) or not watch):  # Ctrl-C is how a watch ends
        raise stopped
    if undecided_count or any(session.refused for session in sessions.values()):
        raise typer.Exit(BAD_INPUT)


def _require_valid(detectors: Sequence[SavedDetector], weights: str, key_file: str, rotation_key_file: str) -> None:
    """Refuse files that are not there, or that no detector has a use for, before anything is loaded."""
    from collab_asd import encoders
    from collab_asd.wire.defences.linear import load_rotation_key

    if rotation_key_file:
        load_rotation_key(rotation_key_file)
        if not any(saved.description.get("rotation") for saved in detectors):
            raise InputError(f"--rotation-key-file {rotation_key_file}: the run had no rotation; leave it out")
    for config in {saved.encoder_config(weights, key_file) for saved in detectors}:
        encoders.require_valid(config)


@dataclass
class Session:
    """One call of ``score``."""

    monitor: Monitor
    show: Callable[[Verdict, Hint | None], None]
    explain: Path | None
    normals: Path | None
    watch: bool = False
    scores: list[float] = field(default_factory=list)
    alarms: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        """Begin to watch where recordings come from."""
        from collab_asd.detection.origin import OriginCheck

        self.origin = OriginCheck(self.monitor.detector, self.monitor.neighbours)

    def judge(self, recordings: Iterable[Path]) -> None:
        """Print a verdict on each recording; one that does not fit is refused in words, and the others go on."""
        for path in (clip for recording in recordings for clip in self._clips(recording)):
            try:
                verdict, evidence = self.monitor.examine(path)
            except InputError as error:
                self.refused += 1
                errors.print(self.stamped(f"refused: {error}"), style="red")
                continue
            self.scores.append(verdict.anomaly_score)
            self.alarms += verdict.decision
            before, hint = self.origin.hint, self.origin.add(evidence)
            self.show(verdict, hint)
            if self.watch and hint and (before is None or before.source != hint.source):
                notes.print(self.stamped(str(hint)), style="yellow")
            if self.explain is not None and verdict.decision:
                self._draw(verdict, self.explain)

    def _clips(self, recording: Path) -> list[Path]:
        """Return the clips of a long recording; what cannot be read is refused where it is scored."""
        try:
            return self.monitor.clips(recording)
        except InputError:
            return [recording]

    def report_count(self) -> None:
        """Say how many recordings raised an alarm, and by whose detector."""
        card, scored = self.monitor.card, len(self.scores)
        share = f", {self.alarms / scored:.0%} alarms" if scored else ""
        notes.print(
            f"{card.machine}: {self.alarms} alarm{'s' * (self.alarms != 1)} in {scored} recordings, "
            f"{self.refused} refused{share} "
            f"(threshold set for {card.false_alarm_rate:.3g} false alarms per normal recording{self._caution()})"
        )
        if self.explain is not None and not self.alarms:
            notes.print("--explain: no recording raised an alarm, so nothing was drawn")

    def _caution(self) -> str:
        """Say how wrong a threshold may be that was set from few normal recordings."""
        from collab_asd.detection.thresholds import highest_rate, is_uncertain

        normals, asked = len(self.monitor.detector.normal_scores), self.monitor.card.false_alarm_rate
        if not is_uncertain(normals, asked):
            return ""
        return f", from {normals} normal recordings: too few, {highest_rate(normals, asked):.2g} are possible"

    def report_origin(self) -> None:
        """Say whether the recordings seem to be of another machine or recorder."""
        if hint := self.origin.prevailing:
            notes.print(str(hint), style="yellow")

    def stamped(self, text: str) -> str:
        """Put the local time before a line of a watched folder."""
        return _stamped(text, self.watch)

    def report_drift(self) -> None:
        """Say whether the recordings still look like the training normals."""
        from collab_asd.monitoring import drift

        card = self.monitor.card
        normal = self.monitor.detector.normal_scores
        found = drift.compare(normal, self.scores, card.threshold, card.false_alarm_rate)
        if found is not None:
            notes.print(drift.describe(found), style="yellow" if found.found or found.too_few else "green")

    def _draw(self, verdict: Verdict, folder: Path) -> None:
        from collab_asd.monitoring.explain import draw

        try:
            picture = draw(self.monitor, verdict, self.normals, folder)
            notes.print(self.stamped(f"explained: {picture}"), style="cyan")
        except InputError as error:  # the verdict stands, and the recordings to come need theirs
            self.refused += 1
            errors.print(self.stamped(f"not explained: {error}"), style="red")


def _stamped(text: str, watch: bool) -> str:
    return f"{_now()}  {text}" if watch else text


def _incoming(paths: list[Path], watch: bool) -> Iterable[Path]:
    from collab_asd.monitoring import watch as watching

    if not watch:
        return watching.recordings(paths)
    if len(paths) != 1:
        raise InputError("--watch takes one folder: start one command for each")
    if not paths[0].is_dir():
        raise InputError(f"{paths[0]}: no such folder to watch")
    return watching.watch(paths[0])


def _printer(output: Format, watch: bool) -> Callable[[Verdict, Hint | None], None]:
    columns = (*(["time"] if watch else []), *COLUMNS)

    def row(verdict: Verdict, hint: Hint | None) -> dict[str, Any]:
        fields = asdict(verdict) | {"clip": str(verdict.path), "decision": verdict.decision}
        fields |= {"time": _now(), "hint": hint.source if hint else ""}
        return {column: fields[column] for column in columns}

    if output is Format.json:
        return lambda verdict, hint: _line(json.dumps(row(verdict, hint)))
    if output is Format.csv:
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        return lambda verdict, hint: _flushed(writer.writerow(row(verdict, hint)))
    return lambda verdict, _: _line(f"{_now()}  {_text(verdict)}" if watch else _text(verdict))


def _now() -> str:
    """Local time to the second, as ISO 8601 writes it."""
    return datetime.now().isoformat(timespec="seconds")


def _text(verdict: Verdict) -> str:
    word = "ANOMALY" if verdict.decision else "normal "
    return (
        f"{word}  score {verdict.anomaly_score:8.3f}  threshold {verdict.threshold:.3f}  {printable(verdict.path)}  "
        f"(nearest normal: {printable(verdict.nearest_normal)})  p = {verdict.p_value:.2g}"
    )


def _line(text: str) -> None:
    _flushed(sys.stdout.write(text + "\n"))


def _flushed(_: int) -> None:
    """Whoever reads the output of a watched folder must see each verdict at once."""
    sys.stdout.flush()
