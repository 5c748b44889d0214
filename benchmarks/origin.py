"""How often `collab-asd score` says that recordings come from another machine or recorder, rightly and wrongly.

    python benchmarks/origin.py RESULT_DIR... [--groups 40] [--clips 20]

Every detector of a run judges groups of five test clips: of its own machine, of the others, and of its own as other
recorders would have recorded it. `alike` is a faulty clip with the four whose spectra are nearest, for faults of one
kind; `all` is one call for all faulty clips of a machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table
from scipy import signal

from collab_asd.core.types import ANOMALY, NORMAL, FloatArray, ScoreArray
from collab_asd.detection.origin import FEWEST, Evidence, Hint, OriginCheck
from collab_asd.monitoring.monitor import Monitor
from collab_asd.report.contents import Run
from collab_asd.report.reading import read_run

RATE = 16_000
KINDS = {NORMAL: "normal", ANOMALY: "faulty"}
Recorder = Callable[[FloatArray], FloatArray | ScoreArray]


def gain(db: float) -> Recorder:
    """Amplify."""
    return lambda wave: wave * 10 ** (db / 20)


def tilt(db: float) -> Recorder:
    """Let the level rise by so many dB per octave, 0 at 1 kHz."""

    def tilted(wave: FloatArray) -> ScoreArray:
        octaves = np.log2(np.maximum(np.fft.rfftfreq(len(wave), 1 / RATE), 50.0) / 1000)
        return np.fft.irfft(np.fft.rfft(wave) * 10 ** (db * octaves / 20), len(wave))

    return tilted


def room(wave: FloatArray, seconds: float = 0.6) -> FloatArray:
    """Add a diffuse reverberation that is as loud as the direct sound."""
    time = np.arange(int(seconds * RATE)) / RATE
    response = np.random.default_rng(0).normal(size=len(time)) * 10 ** (-3 * time / seconds)
    response[0] = np.linalg.norm(response[1:])
    return signal.fftconvolve(wave, response / np.linalg.norm(response))[: len(wave)]


RECORDERS: dict[str, Recorder] = {
    **{f"gain {db:+d} dB": gain(db) for db in (-12, -6, -3, 3, 6, 12)},
    "sampled at 8 kHz": lambda wave: signal.resample_poly(signal.resample_poly(wave, 1, 2), 2, 1)[: len(wave)],
    "no bass below 300 Hz": lambda wave: signal.sosfilt(signal.butter(4, 300, "high", fs=RATE, output="sos"), wave),
    **{f"tilt {db:+g} dB/octave": tilt(db) for db in (-3, -1.5, 1.5, 3)},
    "offset 0.01": lambda wave: wave + 0.01,
    "room, 0.6 s": room,
}


def rerecorded(paths: Sequence[Path], recorder: Recorder) -> Iterator[Path]:
    """Yield files of what a recorder would have made of these clips, with 16 bits; each lasts until the next."""
    with tempfile.TemporaryDirectory() as folder:
        for i, path in enumerate(paths):
            wave, rate = soundfile.read(path, dtype="float32")
            assert rate == RATE
            soundfile.write(Path(folder, f"{i}.wav"), np.clip(recorder(wave), -1, 1), RATE, subtype="PCM_16")
            yield Path(folder, f"{i}.wav")


def hints(monitor: Monitor, run: Run, heard: Heard, groups: int, clips: int) -> Iterator[tuple[str, Hint | None]]:
    """Judge groups of one machine's detector; yield what each is of, and the hint."""
    rng, neighbours = np.random.default_rng(0), monitor.neighbours()

    def hint(group: Sequence[Evidence]) -> Hint | None:
        check = OriginCheck(monitor.detector, lambda: neighbours)
        for recording in group:
            check.add(recording)
        return check.prevailing

    def drawn(evidence: Sequence[Evidence], kind: str, count: int) -> Iterator[tuple[str, Hint | None]]:
        for _ in range(count):
            yield kind, hint([evidence[i] for i in rng.choice(len(evidence), FEWEST, replace=False)])

    paths = defaultdict(list)
    for row in run.table.rows:
        machine, label = f"{row.machine_type}/{row.machine_id}", int(row.label or 0)
        paths[machine, label].append(Path(monitor.card.data_dir) / row.clip)
    for (machine, label), of_machine in paths.items():
        evidence = [heard(monitor, path) for path in of_machine]
        if machine != monitor.card.machine:
            yield from drawn(evidence, f"{KINDS[label]}, other machine", groups if label == NORMAL else 0)
            continue
        yield from drawn(evidence, f"{KINDS[label]}, own machine", groups)
        if label == NORMAL:
            for name, recorder in RECORDERS.items():
                changed = [heard(monitor, path) for path in rerecorded(of_machine[:clips], recorder)]
                yield from drawn(changed, name, groups // 4)
        else:
            levels = np.stack([clip.levels[:-1] for clip in evidence])
            for distances in np.linalg.norm(levels[:, np.newaxis] - levels, axis=2):
                yield "faulty, own machine, alike", hint([evidence[i] for i in np.argsort(distances)[:FEWEST]])
            yield "faulty, own machine, all", hint([evidence[i] for i in rng.permutation(len(evidence))])


class Heard:
    """Encodes each recording once, for all detectors of a run."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[FloatArray, FloatArray]] = {}

    def __call__(self, monitor: Monitor, path: Path) -> Evidence:
        """Return the evidence of a recording for one machine's detector."""
        if path not in self._known:
            evidence = monitor.examine(path)[1]
            self._known[path] = evidence.frames, evidence.levels
        frames, levels = self._known[path]
        return Evidence(frames, levels, monitor.detector.score(monitor.detector.embed(frames)))


def cell(found: Sequence[Hint | None]) -> str:
    """Share of groups with a hint, and in brackets of those that are said to be of another machine."""
    machine = [hint is not None and hint.source == "another machine" for hint in found]
    return f"{np.mean([hint is not None for hint in found]):.1%} ({np.mean(machine):.1%})"


def main() -> None:
    """Print a row per kind of group and a column per run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--groups", type=int, default=40)
    parser.add_argument("--clips", type=int, default=20)
    args = parser.parse_args()
    found: dict[str, dict[str, list[Hint | None]]] = defaultdict(lambda: defaultdict(list))
    for folder in args.results:
        run, heard = read_run(folder), Heard()
        for detector in sorted((folder / "detectors").iterdir()):
            for kind, hint in hints(Monitor.open(detector), run, heard, args.groups, args.clips):
                found[kind][folder.name].append(hint)
    names = [folder.name for folder in args.results]
    table = Table("recordings", "groups", *names, title="groups with a hint (of another machine)")
    for kind, by_run in found.items():
        table.add_row(kind, str(len(by_run[names[0]])), *(cell(by_run[name]) for name in names))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
