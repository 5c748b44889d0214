"""From result folders to a report: who has the recordings adds sounds, pictures and explanations.

The page itself is drawn by `collab_asd.report` from result files alone.

An explanation encodes a clip once for each patch of its spectrogram. What one encoding costs is known of every encoder,
so a report spends about as much on explanations, whichever it is: with a costly one patches are larger, and once the
budget is spent clips stay unexplained.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir, holding_name
from collab_asd.core.progress import step
from collab_asd.core.types import ANOMALY, NORMAL, Clip, FloatArray, ScoreRow
from collab_asd.data.audio import load_audio, seconds_of
from collab_asd.data.manifest import ManifestRow
from collab_asd.data.run_data import data_folder
from collab_asd.detection.detector import ClipPoints
from collab_asd.encoders import ENCODERS
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.results import read_config
from collab_asd.monitoring.explain import COARSE, FINE, Grid, build_clip_card
from collab_asd.monitoring.monitor import Monitor
from collab_asd.report.contents import ClipKind, ClipPortrait, Embeddings, Run, Sound
from collab_asd.report.page import write_report
from collab_asd.report.printing import kept_detectors, steps_after
from collab_asd.report.reading import read_run
from collab_asd.report.verdicts import RECORDINGS_PER_DAY

BUDGET = 3000.0  # 10^9 multiply-accumulates of a matrix product: 45 s of a usual core


class ExplanationBudget:
    """Deals out a budget to the clips of one report.

    Parameters
    ----------
    clips : int
        Among which it is to be divided.
    work : float
        10^9 multiply-accumulates of a matrix product that take as long as to encode a second.
    """

    def __init__(self, clips: int, work: float) -> None:
        self._share, self._left, self._work = BUDGET / max(clips, 1), BUDGET, work

    def grid(self, seconds: float) -> Grid | None:
        """Return the grid to explain the next clip by, of some length in s, and take its cost off the budget."""
        fine, coarse = (self._cost(grid, seconds) for grid in (FINE, COARSE))
        if fine <= min(self._share, self._left):
            self._left -= fine
            return FINE
        if coarse <= self._left:
            self._left -= coarse
            return COARSE
        return None

    def _cost(self, grid: Grid, seconds: float) -> float:
        whole = 1
        return (grid[0] * grid[1] + whole) * seconds * self._work


log = logging.getLogger(__name__)
SHOWN, MISSED_SHOWN = 5, 3
KINDS: dict[str, ClipKind] = {str(NORMAL): "test normal", str(ANOMALY): "test anomaly", "": "test"}


def report(
    folders: Sequence[Path], out: Path | None = None, sounds: bool = True, per_day: float = RECORDINGS_PER_DAY
) -> Path:
    """Write the report of one run into its own folder, or of several into `out`; return the page.

    Raises
    ------
    InputError
        A folder holds no finished run, or the runs do not belong on one page.
    """
    runs = [read_run(folder) for folder in folders]
    if len(runs) > 1:
        return write_report(out or Path("results/compared"), runs, per_day=per_day)
    (run,) = runs
    mistakes, alarms, note = _portraits(run)
    detectors = kept_detectors(run.path)
    steps = steps_after(run.manifest, run.summary, detectors)
    return write_report(
        out or run.path, runs, embeddings=_embeddings(run), mistakes=mistakes, alarms=alarms, note=note, steps=steps,
        detectors=detectors if steps else (), sounds=sounds, per_day=per_day,
    )  # fmt: skip


def _embeddings(run: Run) -> list[Embeddings]:
    """Read where each machine's clips lie before and after f_s; what a client did not keep is left out."""
    mixed = read_config(run.path).mixed
    held: dict[tuple[str, str], dict[int, list[ManifestRow]]] = defaultdict(lambda: defaultdict(list))
    for row in run.manifest:
        held[row.machine_type, row.machine_id][int(row.client)].append(row)
    found = []
    for machine, of_client in sorted(held.items()):
        parts = []
        for client, rows in of_client.items():
            path = run.path / "embeddings" / f"{holding_name(*machine, client if mixed else None)}.safetensors"
            if path.exists():
                parts.append(_points_of(machine, rows, ClipPoints.load(path)))
        if parts:
            found.append(_joined(parts))
    return found


def _points_of(machine: tuple[str, str], rows: Sequence[ManifestRow], points: ClipPoints) -> Embeddings:
    """Say of what kind each of the points is that a client kept of a machine."""
    labels = [KINDS[row.label] for row in rows if row.split == "test"]
    normals: list[ClipKind] = ["normal"] * len(points.normal_before)
    before = _stacked(points.normal_before, points.test_before)
    after = None
    if points.normal_after is not None and points.test_after is not None:
        after = _stacked(points.normal_after, points.test_after)
    return Embeddings("/".join(machine), machine[0], normals + labels, before, after)


def _stacked(normal: FloatArray, test: FloatArray) -> FloatArray:
    """Put points of normal and of test clips into one array; of no test clips not even the dimension is kept."""
    return np.concatenate([normal, test.reshape(-1, normal.shape[1])])


def _joined(parts: Sequence[Embeddings]) -> Embeddings:
    """Put what several clients kept of one machine into one: f_c is the same for all, and so is f_s."""
    after = [part.after for part in parts if part.after is not None]
    return replace(
        parts[0],
        kinds=[kind for part in parts for kind in part.kinds],
        before=np.concatenate([part.before for part in parts]),
        after=np.concatenate(after) if len(after) == len(parts) else None,
    )


def _portraits(run: Run) -> tuple[list[ClipPortrait], list[ClipPortrait], str]:
    """Portray the worst mistakes and the loudest alarms; or say why there are none."""
    mistakes, alarms = _mistakes(run), _alarms(run)
    shown = list(dict.fromkeys((*mistakes, *alarms)))
    if not shown:
        return [], [], ""
    try:
        artist = _Artist(run, sum(row.decision for row in shown))
        portraits = {}
        with step("explaining clips", len(shown)) as advance:
            for row in shown:
                portraits[row] = artist(row)
                advance()
        return [portraits[row] for row in mistakes], [portraits[row] for row in alarms], ""
    except InputError as error:
        log.warning("no clips in the report: %s", error)
        return [], [], f"No clips are shown: {error}"


class _Artist:
    """Portrays clips of a run, by the detectors that it kept."""

    def __init__(self, run: Run, alarms: int) -> None:
        self._folder = run.path / "detectors"
        self._config = read_config(run.path)
        if not self._folder.is_dir():
            raise InputError(
                "this run kept no detectors (under Algorithm 2 f_s stays with the server; local networks are not kept)."
            )
        self._monitor = lru_cache(maxsize=4)(self._open)
        self._cache = EmbeddingCache(cache_dir(self._config.cache_dir) / "embeddings")
        self._hashes = {row.clip: row.sha256 for row in run.manifest}
        self._explanations = ExplanationBudget(alarms, ENCODERS.find(self._config.encoder).work)

    def __call__(self, row: ScoreRow) -> ClipPortrait:
        owner = row.client if self._config.mixed else None
        monitor = self._monitor(holding_name(row.machine_type, row.machine_id, owner))
        data_dir = Path(monitor.card.data_dir)
        root = data_dir if data_dir.is_dir() else data_dir.parent
        verdict = monitor.judge(root / row.clip, self._frames(monitor, row, root / row.clip))
        grid = self._explanations.grid(seconds_of(verdict.path)) if verdict.decision else None
        return build_clip_card(monitor, verdict, data_dir, name=row.clip, label=row.label, grid=grid)

    def _frames(self, monitor: Monitor, row: ScoreRow, path: Path) -> FloatArray | None:
        """Return what the run has kept of a clip, if the cache still holds it."""
        sha256 = self._hashes.get(row.clip)
        if sha256 is None:
            return None
        clip = Clip(path, row.machine_type, row.machine_id, "test", row.label, sha256, self._config.channel)
        return self._cache.load(monitor.encoder.spec, clip)

    def _open(self, machine: str) -> Monitor:
        config = self._config
        return Monitor.open(
            self._folder / machine,
            config.encoder_weights,
            config.encoder_key_file,
            rotation_key_file=config.rotation_key_file,
        )


def _mistakes(run: Run) -> list[ScoreRow]:
    """Worst missed faults, then worst false alarms; of five, three are missed faults where there are so many."""
    missed = _farthest(run, [row for row in run.table.rows if row.label == ANOMALY and not row.decision])
    false_alarms = _farthest(run, [row for row in run.table.rows if row.label == NORMAL and row.decision])
    few = max(SHOWN - len(false_alarms), MISSED_SHOWN)
    return missed[:few] + false_alarms[: SHOWN - len(missed[:few])]


def _alarms(run: Run) -> list[ScoreRow]:
    return _farthest(run, [row for row in run.table.rows if row.decision])


def _farthest(run: Run, rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Return the five farthest from their thresholds, in units of the spread of that detector's scores."""
    scores = defaultdict(list)
    for row in run.table.rows:
        scores[row.client, row.machine_type, row.machine_id].append(row.anomaly_score)
    spread = {detector: max(float(np.std(values)), 1e-12) for detector, values in scores.items()}

    def margin(row: ScoreRow) -> float:
        return abs(row.anomaly_score - row.threshold) / spread[row.client, row.machine_type, row.machine_id]

    return sorted(rows, key=margin, reverse=True)[:SHOWN]


def hardest_fault(run: Run, machine: str) -> ClipPortrait:
    """Return the faulty clip with the lowest score, and the normal test clip whose score is the median of the normals.

    Both are read at the rates that they were recorded at, from where the run found its recordings.

    Raises
    ------
    InputError
        The machine has no labelled clips of both kinds; the recordings have moved or changed since the run.
    """
    rows = [row for row in run.table.rows if f"{row.machine_type}/{row.machine_id}" == machine]
    faults, normals = _by_score(rows, ANOMALY), _by_score(rows, NORMAL)
    if not faults or not normals:
        raise InputError(f"{machine}: has no test clips of both kinds, labelled normal and labelled faulty")
    hard, usual = faults[0], normals[len(normals) // 2]
    return ClipPortrait(
        clip=hard.clip,
        machine=machine,
        label=hard.label,
        score=hard.anomaly_score,
        threshold=hard.threshold,
        sound=_sound(run, hard),
        normal_name=usual.clip,
        normal=_sound(run, usual),
    )


def _by_score(rows: Sequence[ScoreRow], label: int) -> list[ScoreRow]:
    return sorted((row for row in rows if row.label == label), key=lambda row: row.anomaly_score)


def _sound(run: Run, row: ScoreRow) -> Sound:
    config = RunConfig.from_mapping(run.summary["config"])
    folder = data_folder(config, len({held.client for held in run.manifest}))
    root: Path = folder if folder.is_dir() else folder.parent  # or a table of recordings
    sha256 = next(held.sha256 for held in run.manifest if held.clip == row.clip)
    clip = Clip(root / row.clip, row.machine_type, row.machine_id, "test", row.label, sha256, config.channel)
    audio = load_audio(clip)
    return Sound(audio.waveform, audio.rate)
