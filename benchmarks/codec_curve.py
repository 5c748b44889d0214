"""Mean AUC over machines against bytes per clip: codecs x encoders x seeds, paired with fp32.

    python benchmarks/codec_curve.py DATA [--seeds 5] [--encoders random-conv,logmel] [--codecs fp32,int8]

Bytes are those of a training clip, with its share of what clients and server exchange once to fit the codec, both ways.
The raw recording is what 16-bit samples weigh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import soundfile
from auc_table import Loaded, interval, load
from rich.console import Console
from rich.table import Table
from sharing import aucs, configs, fit, options, through, train

from collab_asd.config import RunConfig
from collab_asd.core.runtime import pin_threads
from collab_asd.report.theme import LIGHT, MARKERS, SERIES, drawing, panels, save_png

CODECS = (
    "fp32,int8,pool:8+int8,pool:8+pca:64+int8,pool:8+pca:32+int8,pool:8+pca:64+pq:32,pool:8+pca:64+pq:16,"
    "every:8+pca:64+int8"
)


Point = tuple[float, float, float, float, float]  # bytes; fusion and shared space, each with half its interval


@dataclass(frozen=True)
class Outcome:
    """Of one codec and seed: mean AUC over machines by fusion and by the shared space alone, and bytes per clip."""

    fusion: float
    shared: float
    clip_bytes: float


def measure(loaded: Loaded, config: RunConfig, text: str) -> Outcome:
    """Send all training clips through a codec, train f_s on what is left, and score."""
    machines = [frames for _, _, frames in loaded.machines]
    codec, once = fit(text, machines)
    found = aucs(loaded, train([through(codec, machine) for machine in machines], loaded, config), codec, config)
    clips = [clip for machine in machines for clip in machine.normal]
    size = mean(codec.clip_bytes(*clip.shape) for clip in clips) + once / len(clips)
    return Outcome(mean(one.fusion for one in found), mean(one.shared for one in found), size)


def raw_bytes(loaded: Loaded) -> float:
    """Mean size of a recording, one channel of 16-bit samples."""
    return float(
        mean(2 * soundfile.info(c.path).frames for client, _, _ in loaded.machines for c in client.partition.clips)
    )


def main() -> None:
    """Print the table."""
    parser = options(__doc__, encoders="random-conv,logmel,yamnet")
    parser.add_argument("--codecs", default=CODECS)
    parser.add_argument("--weights", default="", help="of yamnet")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    pin_threads(RunConfig.threads)
    console = Console(width=140)
    curves: dict[str, list[Point]] = {}
    columns = ("bytes per clip", "of raw audio", "fusion", "minus fp32", "shared k-NN", "minus fp32")
    for name in args.encoders.split(","):
        table = Table("codec", *columns, title=f"{name}: mean AUC over machines, {args.seeds} seeds")
        weights = args.weights if name == "yamnet" else ""
        runs = [(load(config), config) for config in configs(args, name, weights)]
        plain = [measure(loaded, config, "fp32") for loaded, config in runs]
        for text in args.codecs.split(","):
            found = plain if text == "fp32" else [measure(loaded, config, text) for loaded, config in runs]
            size = mean(outcome.clip_bytes for outcome in found)
            table.add_row(text, f"{size:,.0f}", f"{size / raw_bytes(runs[0][0]):.2%}", *compared(found, plain))
            console.print(name, text, f"{size:.0f}", *compared(found, plain))
            curves.setdefault(name, []).append((size, *spread(found, "fusion"), *spread(found, "shared")))
        console.print(table)
    if args.figure:
        draw(args.figure, curves, raw_bytes(runs[0][0]))


def spread(found: Sequence[Outcome], what: str) -> tuple[float, float]:
    """Mean over seeds, and half its interval."""
    mean_, _, half = interval([getattr(outcome, what) for outcome in found]).partition(" ± ")
    return float(mean_), float(half)


def draw(path: Path, curves: Mapping[str, Sequence[Point]], raw: float) -> None:
    """Draw AUC by fusion and by the shared space alone against bytes per clip."""
    with drawing():
        figure, axes = panels(2, 3.0, most_columns=2, share_y=True)
        for place, (panel, title) in enumerate(zip(axes, ("fusion", "shared space alone"), strict=True)):
            panel.set_title(title)
            for (name, points), colour, marker in zip(curves.items(), SERIES, MARKERS, strict=False):
                x, y, error = zip(*sorted((p[0], p[1 + 2 * place], p[2 + 2 * place]) for p in points), strict=True)
                panel.errorbar(x, y, error, fmt=marker, color=colour, ms=3, elinewidth=0.8, capsize=2, label=name)
            panel.axvline(raw / 100, color=LIGHT["soft"], ls=":", lw=0.8)
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter("{x:,.0f}")
            panel.set_xlabel("bytes per clip (dotted: 1 % of its samples)")
        axes[0].set_ylabel("AUC, mean over machines")
        axes[0].legend(fontsize=7)
        save_png(figure, path)


def compared(found: Sequence[Outcome], plain: Sequence[Outcome]) -> list[str]:
    """Mean and interval of each measure, and of its difference to fp32, seed by seed."""
    cells = []
    for measure_ in ("fusion", "shared"):
        values, others = ([getattr(outcome, measure_) for outcome in outcomes] for outcomes in (found, plain))
        cells += [interval(values), interval([a - b for a, b in zip(values, others, strict=True)])]
    return cells


if __name__ == "__main__":
    main()
