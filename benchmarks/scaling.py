"""Time by phase, peak memory and bytes of embedding sharing against the number of clients and of clips.

    python benchmarks/scaling.py [--clients 4 23 100 300 1000] [--clips 10 100 1000] [--figure docs/scaling.png]
    python benchmarks/scaling.py --heads 100 1000 10000 100000

In process, with real messages (`random_embeddings.py`): every client holds one machine of one type, so that
f_s has as many classes as there are clients. Each point is a process of its own. f_s is trained for one epoch on 70
windows of each machine, a tenth of the preset's: its cost is linear in both, and the preset's three epochs of 700 would
take 20 minutes for 1,000 classes. Exponents are slopes of a least-squares line through the logarithms; those of the
last two points tell where growth is going. The second command times a step of ArcFace alone, with its optimiser,
against the number of classes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import random_embeddings
import torch
from rich.console import Console
from rich.table import Table

from collab_asd.classifier.backbones import EMBEDDING_SIZE
from collab_asd.classifier.settings import PRESETS
from collab_asd.classifier.training import Labels, build_head, build_optimizer, mixed_loss
from collab_asd.report.theme import MARKERS, SERIES, drawing, panels, save_png

CODECS = "fp32", "pool:8+pca:64+int8"
FEW_CLIPS, FEW_CLIENTS, WINDOWS = 10, 4, 70
PHASES = {
    "meet": "meet",
    "query.describe": "describe",
    "train.embeddings": "pages",
    "train": "train f_s",
    "evaluate.score": "score",
}
Row = tuple[str, list[float]]


def rows(points: Sequence[random_embeddings.Measured]) -> list[Row]:
    """Turn measurements of growing size into rows: seconds by phase, memory of the server's phases, bytes."""
    seconds = [(f"{name}, s", [p["seconds"].get(phase, 0.0) for p in points]) for phase, name in PHASES.items()]
    known = [sum(p["seconds"].get(phase, 0.0) for phase in PHASES) for p in points]
    rest = [p["seconds"]["total"] - k for p, k in zip(points, known, strict=True)]
    memory = [max(mb for phase, mb in p["peak_mb"].items() if phase in list(PHASES)[:-1]) for p in points]
    return [
        *seconds,
        ("all else, s", rest),
        ("total, s", [p["seconds"]["total"] for p in points]),
        ("peak memory until scoring, MB", memory),
        ("up, MB", [p["up"] / 1e6 for p in points]),
        ("down, MB", [p["down"] / 1e6 for p in points]),
    ]


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Slope of a least-squares line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-3)), 1)[0])


def measured(codec: str, sizes: Sequence[tuple[int, int]]) -> list[random_embeddings.Measured]:
    """Measure runs of so many clients and clips, each in its own process."""
    run = partial(random_embeddings.run, windows=WINDOWS, epochs=1, codec=codec)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        return list(pool.map(run, *zip(*sizes, strict=True)))


def show(title: str, sizes: Sequence[int], found: Sequence[Row]) -> None:
    """Print values and exponents."""
    table = Table(*(title, *map(str, sizes), "exponent", "of the last two"), title_justify="left")
    for name, values in found:
        ends = (exponent(sizes, values), exponent(sizes[-2:], values[-2:]))
        table.add_row(name, *(f"{v:.3g}" for v in values), *(f"{e:.2f}" for e in ends))
    Console(width=160).print(table)


def head_milliseconds(classes: int, steps: int = 5) -> float:
    """Time a step of ArcFace over so many classes, on one thread: the fastest of a few."""
    torch.set_num_threads(1)
    settings = PRESETS["fast"]
    head = build_head(torch.randn(EMBEDDING_SIZE, classes), settings)
    optimizer = build_optimizer(head.parameters(), settings)
    embeddings = torch.randn(settings.batch, EMBEDDING_SIZE, requires_grad=True)
    own = torch.randint(0, classes, (settings.batch,))
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        mixed_loss(head, embeddings, Labels(own, own.flip(0), 0.5)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def draw(path: Path, sizes: Sequence[int], found: Mapping[str, Sequence[Row]]) -> None:
    """Draw seconds by phase for each codec, and memory and bytes of both, against the number of clients."""
    with drawing():
        figure, axes = panels(len(found) + 2, 2.6, most_columns=2, share_y=False)
        for (codec, codec_rows), panel in zip(found.items(), axes, strict=False):
            panel.set_title(f"seconds, {codec}")
            for (name, values), colour, marker in zip(codec_rows[1:5], SERIES, MARKERS, strict=False):
                panel.loglog(sizes, np.maximum(values, 1e-2), color=colour, marker=marker, ms=3, label=name[:-3])
            panel.legend(fontsize=7)
        memory, transfer = axes[len(found) :]
        memory.set_title("peak memory of the process\nuntil scoring, MB")
        transfer.set_title("messages, MB")
        for (codec, codec_rows), colour in zip(found.items(), SERIES, strict=False):
            peak, up, down = (values for _, values in codec_rows[-3:])
            memory.semilogx(sizes, peak, color=colour, marker="o", ms=3, label=codec)
            transfer.loglog(sizes, up, color=colour, marker="o", ms=3, label=f"up, {codec}")
            transfer.loglog(sizes, down, color=colour, ls=":", marker="s", ms=3, label=f"down, {codec}")
        memory.set_ylim(0)
        for panel in axes:
            panel.set_xlabel("clients")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_formatter("{x:g}")  # powers would be set as formulas, which this style does not parse
                axis.set_minor_formatter("")
        for panel in (memory, transfer):
            panel.legend(fontsize=7)
        save_png(figure, path)


def main() -> None:
    """Print a table for each codec, by clients and by clips, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[4, 23, 100, 300, 1000])
    parser.add_argument("--clips", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--codecs", nargs="+", default=CODECS)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--heads", type=int, nargs="+")
    args = parser.parse_args()
    if args.heads:
        for classes in args.heads:
            print(f"ArcFace over {classes} classes: {head_milliseconds(classes):.1f} ms per step")
        return
    by_codec = {}
    for codec in args.codecs:
        by_codec[codec] = rows(measured(codec, [(clients, FEW_CLIPS) for clients in args.clients]))
        show(f"{codec}: clients with {FEW_CLIPS} clips", args.clients, by_codec[codec])
        clips = rows(measured(codec, [(FEW_CLIENTS, clips) for clips in args.clips]))
        show(f"{codec}: clips of {FEW_CLIENTS} clients", args.clips, clips)
    if args.figure:
        draw(args.figure, args.clients, by_codec)


if __name__ == "__main__":
    main()
