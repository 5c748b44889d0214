"""Measure what README and docs state about real recordings again, and write it into them.

    python benchmarks/evidence.py --data PATH/TO/toycar [--out DIR] [--weights yamnet=yamnet.h5] [--only toycar noniid]
    python benchmarks/evidence.py --collect [--also published=FOLDER …]

Runs the comparisons `EXPERIMENTS` one after the other; the same command takes up what was interrupted. After each it
writes ``docs/evidence.json``: every figure with its command, the machine and the versions. Tables between
``<!-- evidence: NAME -->`` and ``<!-- end -->`` are then written anew; a test compares them with the file. A table
whose comparison is not in the file, or was measured before the file had all of its columns, stays as it is.
``--collect`` runs nothing and takes what is finished; ``--also`` names further folders with runs of a comparison. A row
that the file has with more seeds than were found now stays.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from collab_asd.core.errors import InputError
from collab_asd.core.types import NORMAL
from collab_asd.data.partitions import evenness, partition_words
from collab_asd.experiments.experiment import Experiment, find_experiment
from collab_asd.experiments.results import Comparison, collect
from collab_asd.experiments.tables import MOST_CLIPS, Row
from collab_asd.report.comparison import Estimate
from collab_asd.report.reading import read_scores

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "evidence.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "evidence.md")
EXPERIMENTS = {  # by how long they take, on two quiet cores and one job
    "toycar": "half an hour",
    "few-shot": "half an hour",
    "noniid": "half an hour",
    "published": "about half a day: minutes to two hours for each encoder and seed",
}
SEARCH = "search"  # of benchmarks/search.py, on tuning clips
LIBRARIES = ("collab-asd", "torch", "numpy", "scipy", "scikit-learn", "flwr", "pytorch-metric-learning")
BLOCK = re.compile(r"(<!-- evidence: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Values = Mapping[str, Any]


def measured(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """Return the rows of a comparison, as far as its runs are finished in any of the folders.

    Raises
    ------
    InputError
        The runs are of different clips.
    """
    experiment = Experiment.read(find_experiment(name))
    of_folders = [experiment.cells(folder) for folder in folders]
    cells = [next((c for c in same if c.state == "finished"), same[0]) for same in zip(*of_folders, strict=True)]
    comparison = collect(experiment, cells)
    if len({summary["manifest_sha256"] for summary in comparison.summaries.values()}) > 1 and not experiment.partitions:
        raise InputError(f"{', '.join(map(str, folders))}: runs of {name!r} are of different recordings")
    return {
        "command": f"collab-asd compare {name} --data toycar",
        "cells": len(comparison.cells),
        "seeds": list(experiment.seeds),
        "rows": [_row(row, comparison) for row in comparison.rows],
    }


def _row(row: Row, comparison: Comparison) -> dict[str, Any]:
    cells = [
        c
        for c in comparison.cells
        if (c.method, c.config.encoder, c.scorer, c.partition) == (row.method, row.encoder, row.scorer, row.partition)
    ]
    decisions = [
        [r.decision for r in read_scores(cell.folder / "scores.csv").rows if r.label == NORMAL]
        for cell in cells
        if cell.name in comparison.summaries
    ]
    alarms, clips = float(np.mean([sum(d) for d in decisions])), len(decisions[0])
    reached = binomtest(round(alarms), clips).proportion_ci()
    return {
        "method": row.method,
        "encoder": row.encoder,
        "scorer": row.scorer,
        **({"partition": row.partition} if row.partition else {}),
        "seeds": list(row.seeds),
        "auc": _estimate(row.auc),
        "auc by seed": [comparison.summaries[c.name]["auc"]["total"] for c in cells if c.name in comparison.summaries],
        "minus sharing": _estimate(row.gain),
        "over seeds": {"auc": _over_seeds(row.auc), "minus sharing": _over_seeds(row.gain)},
        "clips to settle": _finite(row.clips_to_settle),
        "by machine": {machine: _estimate(value) for machine, value in row.auc_by_machine.items()},
        "id accuracy": row.id_accuracy.mean if row.id_accuracy else None,
        "false alarms": {
            "mean": alarms / clips,
            "low": float(reached.low),
            "high": float(reached.high),
            "clips": clips,
        },
        "recall": row.recall.mean if row.recall else None,
        "MB": row.bytes_sent.mean / 1e6 if row.bytes_sent else None,
        "seconds": row.seconds.mean if row.seconds else None,
        "bold": row.stands_out,
    }


def _estimate(value: Estimate | None) -> dict[str, float | None] | None:
    return None if value is None else {"mean": value.mean, "low": value.low, "high": value.high}


def _over_seeds(value: Estimate | None) -> float | None:
    return None if value is None else value.half_width


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def machine() -> dict[str, Any]:
    """Say what this was measured with."""
    processor = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "machine": {"processor": processor, "cores": os.cpu_count(), "system": platform.platform(), "threads": 1},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def render(name: str, evidence: Values) -> str | None:
    """Return the table of that name as it stands in a page; None where the evidence does not have it."""
    if name == "machine":
        of, versions = evidence["machine"], evidence["versions"]
        parts = [f"{of['processor']}, {of['cores']} cores, one thread"]
        return f"Measured on {', '.join([*parts, *(f'{key} {value}' for key, value in versions.items())])}.\n"
    measured_by = (*EXPERIMENTS, SEARCH)
    experiment, kind = next((e, name.removeprefix(f"{e}-")) for e in measured_by if name.startswith(f"{e}-"))
    found = evidence["experiments"].get(experiment)
    if found is None or (kind in OVER_SEEDS and not all("over seeds" in row for row in found["rows"])):
        return None
    if kind == "sentence":
        return published_sentence(found)
    if not found["rows"] or (kind == "rows" and not any(row["method"].startswith(PUBLISHED) for row in found["rows"])):
        return ""
    lines = TABLES[kind](found["rows"])
    return "\n".join([*lines, "", f"`{found['command']}`; {_finished(found)} runs finished.", ""])


def _finished(found: Values) -> str:
    return f"{sum(len(row['seeds']) for row in found['rows'])} of {found['cells']}"


def _table(rows: Sequence[Values]) -> list[str]:
    headings = (
        *("method, scorer", "encoder", "seeds", "AUC", "minus sharing, paired", "clips to settle"),
        *("ID accuracy", "false alarms, 10 % asked", "MB"),
    )
    heading = f"| {' | '.join(headings)} |"
    return [heading, "|---" * len(headings) + "|", *(_line(row) for row in rows)]


def _line(row: Values) -> str:
    auc = with_ends(row["auc"])
    alarms = row["false alarms"]
    cells = (
        f"`{row['method']}`, {row['scorer']}",
        f"`{row['encoder']}`",
        str(len(row["seeds"])),
        f"**{auc}**" if row["bold"] else auc,
        with_ends(row["minus sharing"], "+"),
        _clips(row["clips to settle"]),
        "–" if row["id accuracy"] is None else f"{row['id accuracy']:.2f}",
        f"{100 * alarms['mean']:.1f} % [{100 * alarms['low']:.1f}, {100 * alarms['high']:.1f}]",
        f"{row['MB']:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _clips(needed: float | None) -> str:
    if needed is None:
        return "–"
    return f"{round(needed, -1):,.0f}" if needed < MOST_CLIPS else f"> {MOST_CLIPS:,}"


def _by_machine(rows: Sequence[Values]) -> list[str]:
    machines = list(rows[0]["by machine"])
    heading = f"| method, scorer | encoder | {' | '.join(machines)} |"
    cells = (
        [f"`{r['method']}`, {r['scorer']}", f"`{r['encoder']}`", *(with_ends(r["by machine"][m]) for m in machines)]
        for r in rows
    )
    return [heading, "|---" * (2 + len(machines)) + "|", *(f"| {' | '.join(line)} |" for line in cells)]


LEAVES = {  # what README's table shows, and what leaves a client
    "embedding-sharing": "embeddings, covariances",
    "covariance-sharing": "covariances (136 kB)",
    "centralized": "recordings",
    "splitfed-group": "activations",
    "fedavg-group": "weights, sums of frames",
    "fedavg": "weights, sums of frames",
    "local-spectra": "nothing",
    "local-mahalanobis": "nothing",
    "local-knn": "nothing",
}
CONV = "-conv"  # ends the name of a method that has settings of its own for random-conv
CALLED = {
    "splitfed-group": "`splitfed`, group normalisation",
    "fedavg-group": "`fedavg`, group normalisation",
}
PEERS = (  # public systems, each run once on the same clips: no command here repeats them
    "| *peer*: tied Mahalanobis distance, clip means of log-mel | recordings | 0.964 | – | – |",
    "| *peer*: ASDKit classifier, 48 epochs; DCASE 2023 autoencoder | recordings; nothing | 0.928; 0.927 | – | – |",
)


def _readme(rows: Sequence[Values]) -> list[str]:
    """Return one line for each method of `LEAVES`, its encoders beside each other."""
    lines = ["| method | what leaves a client | AUC, `logmel` | AUC, `random-conv` | false alarms, 10 % asked |"]
    lines.append("|---" * 5 + "|")
    shown = [(method, leaves, "") for method, leaves in LEAVES.items()] + [("embedding-sharing", "embeddings", "knn")]
    for method, leaves, scorer in shown:
        own = [row for row in rows if row["method"] in (method, f"{method}{CONV}")]
        own = [row for row in own if row["scorer"] == (scorer or own[0]["scorer"])]
        if not own:
            continue
        aucs = {row["encoder"]: _with_seeds(row) for row in own}
        first = aucs["waveform"] + " (waveform)" if "waveform" in aucs else aucs.get("logmel", "–")
        second = "the same" if method in ("covariance-sharing", "local-spectra") else aucs.get("random-conv", "–")
        alarms = sorted({f"{100 * row['false alarms']['mean']:.1f}" for row in own}, key=float)
        called = "embedding sharing, its shared space alone" if scorer else CALLED.get(method, f"`{method}`")
        lines.append(f"| {called} | {leaves} | {first} | {second} | {' to '.join([alarms[0], *alarms[1:][-1:]])} % |")
    return [*lines, *PEERS]


def _over_seeds_table(rows: Sequence[Values]) -> list[str]:
    """Return a line for each method and encoder, with the shared space alone beside the default; ± over seeds."""
    lines = [
        "| method | encoder | AUC | shared space alone | minus sharing, paired | ID accuracy | false alarms | MB | s |"
    ]
    lines.append("|---" * 9 + "|")
    alone = {(row["method"], row["encoder"]): row for row in rows if row["scorer"] == "knn"}
    for row in rows:
        method, encoder = row["method"], row["encoder"]
        if row["scorer"] == "knn" and method != "local-knn":
            continue
        space = alone.get((method, encoder)) if row["scorer"] == "fusion" else None
        cells = (
            f"`{method}`",
            f"`{encoder}`",
            _with_seeds(row),
            "–" if space is None else _with_seeds(space),
            _with_seeds(row, "minus sharing", "+"),
            "–" if row["id accuracy"] is None else f"{row['id accuracy']:.2f}",
            f"{100 * row['false alarms']['mean']:.1f} %",
            f"{row['MB']:.2f}",
            f"{row['seconds']:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _with_seeds(row: Values, measure: str = "auc", sign: str = "") -> str:
    """``"0.979 ± 0.001"``, over seeds; without the interval where nothing is random, or of one seed."""
    value, half = row[measure], row["over seeds"][measure]
    if value is None:
        return "–"
    mean = f"{value['mean']:{sign}.3f}".replace("-", "−")
    return mean if half is None or half < 1e-9 else f"{mean} ± {half:.3f}"


def _few_shot(rows: Sequence[Values]) -> list[str]:
    """Return a line for each number of recordings."""
    lines = [
        "| n | `local-knn` | `local-mahalanobis` | shared space alone | `covariance-sharing` | "
        "`embedding-sharing` (default) | default: false alarms, noticed | shared space alone: false alarms |",
        "|---" * 8 + "|",
    ]
    of = {(row["partition"], row["method"], row["scorer"]): row for row in rows}
    for partition in sorted({row["partition"] for row in rows}, key=evenness):
        local, tied, alone, covariances, default = (
            of.get((partition, *line))
            for line in (
                ("local-knn", "knn"),
                ("local-mahalanobis", "mahalanobis"),
                ("embedding-sharing", "knn"),
                ("covariance-sharing", "mahalanobis"),
                ("embedding-sharing", "fusion"),
            )
        )
        cells = [
            f"{int(evenness(partition))}",
            *("–" if row is None else f"{row['auc']['mean']:.3f}" for row in (local, tied, alone, covariances)),
            "–" if default is None else with_ends(default["auc"]),
            "–" if default is None else f"{_alarms(default)}, {100 * default['recall']:.0f} %",
            "–" if alone is None else _alarms(alone),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _alarms(row: Values) -> str:
    return f"{100 * row['false alarms']['mean']:.1f} %"


def _partitions(rows: Sequence[Values]) -> list[str]:
    """Return a line for each method and scorer, partitions beside each other; then the ID accuracy of the same."""
    partitions = sorted({row["partition"] for row in rows}, key=evenness)
    heading = f"| | {' | '.join(' '.join(partition_words(p).split()) for p in partitions)} |"
    lines = [heading, "|---" * (1 + len(partitions)) + "|"]
    of = {(row["method"], row["scorer"], row["partition"]): row for row in rows}
    shown = list(dict.fromkeys((row["method"], row["scorer"]) for row in rows))
    for method, scorer in shown:
        found = [of.get((method, scorer, p)) for p in partitions]
        cells = ("–" if row is None else with_ends(row["auc"]) for row in found)
        lines.append(f"| `{method}`{_scorer(method, scorer)} | {' | '.join(cells)} |")
    for method, scorer in shown:
        found = [of.get((method, scorer, p)) for p in partitions]
        known = [r["id accuracy"] for r in found if r is not None and r["id accuracy"] is not None]
        if scorer == "knn" and known:
            cells = ("–" if r is None else f"{r['id accuracy']:.2f}" for r in found)
            lines.append(f"| ID accuracy of `{method}` | {' | '.join(cells)} |")
    return lines


def _scorer(method: str, scorer: str) -> str:
    return "" if method.endswith(f"-{scorer}") else f", {scorer}"


PUBLISHED = "published"
NETWORKS = {  # what the methods of published.toml are, in words
    "published-per-window": ("as published", "each window, then averaged"),
    "published": ("as published", "the mean of a clip's windows"),
    "embedding-sharing-per-window": ("ours", "each window, then averaged"),
    "embedding-sharing": ("ours", "the mean of a clip's windows"),
}
SCORERS = {"knn": "2-NN", "fusion": "fusion"}
NOT_PUBLISHED = "The paper's own network and scorer (`--preset paper`) have not finished a run here.\n"


def _published(rows: Sequence[Values]) -> list[str]:
    """Return a line for each network, scorer and encoder, with each seed that is done."""
    lines = [
        "| embedding sharing | scorer | encoder | seeds done | AUC, each seed | mean, seeds and clips | ID accuracy |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        network, pooling = NETWORKS[row["method"]]
        cells = (
            network,
            f"{SCORERS[row['scorer']]} of {pooling}",
            f"`{row['encoder']}`",
            ", ".join(map(str, row["seeds"])),
            ", ".join(f"{auc:.3f}" for auc in row["auc by seed"]),
            with_ends(row["auc"]) if len(row["seeds"]) > 1 else "one seed",
            f"{row['id accuracy']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _winners(rows: Sequence[Values]) -> list[str]:
    """Return a line for each row of the search: the best trial of either optimiser with one seed, and the winner."""
    headings = (
        "method",
        "encoder",
        "normalization",
        "AdamW, seed 0",
        "SGD, seed 0",
        "chosen",
        "AUC, 3 seeds",
        "ID accuracy",
    )
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for winner in (row for row in rows if row["winner"]):
        own = [row for row in rows if all(row[key] == winner[key] for key in ("method", "encoder", "normalization"))]
        best = (max(row["auc seed 0"] for row in own if row["optimizer"] == name) for name in ("adamw", "sgd"))
        length = next(f"{winner[key]} {key}" for key in ("rounds", "epochs") if key in winner)
        cells = (
            f"`{winner['method']}`",
            f"`{winner['encoder']}`",
            winner["normalization"],
            *(f"{auc:.3f}" for auc in best),
            f"{winner['optimizer']} {winner['learning-rate']:g}, {length}",
            f"{winner['auc']:.3f}",
            f"{winner['id accuracy']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def published_sentence(found: Values) -> str:
    """Say what the paper's network reaches under its own scorer, and ours beside it where both have the seeds."""
    of = {(row["method"], row["scorer"], row["encoder"]): row for row in found["rows"]}
    parts = []
    for (method, scorer, encoder), row in of.items():
        if (method, scorer) != ("published-per-window", "knn"):
            continue
        seeds = "" if row["seeds"] == found["seeds"] else f" ({len(row['seeds'])} of {len(found['seeds'])} seeds)"
        part = f"`{encoder}`{seeds}: {with_ends(row['auc'])}"
        ours = of.get(("embedding-sharing-per-window", "knn", encoder))
        if ours is not None and ours["seeds"] == row["seeds"]:
            part += f" against {with_ends(ours['auc'])}"
        parts.append(part)
    if not parts:
        return NOT_PUBLISHED
    return (
        "AUC of the shared space alone by the paper's own network and scorer (`--preset paper`), against our network "
        f"under the same scorer: {'; '.join(parts)}.\n"
    )


OVER_SEEDS = ("readme", "seeds")  # tables that need columns which the file did not have at first
TABLES = {
    "table": _table,
    "machines": _by_machine,
    "readme": _readme,
    "seeds": _over_seeds_table,
    "clips": _few_shot,
    "partitions": _partitions,
    "rows": _published,
    "winners": _winners,
}


def with_ends(value: Values | None, sign: str = "") -> str:
    """``"0.935 [0.917, 0.950]"``."""
    if value is None:
        return "–"
    mean, low, high = (
        "?" if value[end] is None else f"{value[end]:{sign}.3f}".replace("-", "−") for end in ("mean", "low", "high")
    )
    return f"{mean} [{low}, {high}]"


def written_into(text: str, evidence: Values) -> str:
    """Return a page with its tables written anew."""
    return BLOCK.sub(
        lambda found: found[0] if (new := render(found["name"], evidence)) is None else f"{found[1]}{new}{found[3]}",
        text,
    )


def main() -> None:
    """Run, collect and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="")
    parser.add_argument("--out", type=Path, default=Path("results/evidence"))
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), metavar="NAME")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--collect", action="store_true")
    args = parser.parse_args()
    if not args.collect and not Path(args.data or "?").exists():
        parser.error(f"--data {args.data!r}: name the folder of the ToyCar recordings (docs/evidence.md)")
    also = [(name, Path(folder)) for name, _, folder in (given.partition("=") for given in args.also)]
    for name in args.only:
        if not args.collect:
            print(f"{name}: {EXPERIMENTS[name]}; after an interruption the same command goes on", flush=True)
            weights = [word for given in args.weights for word in ("--weights", given) if name == "published"]
            run(name, args.data, args.out / name, *weights)
        shared = [args.out / "toycar"] if name == "published" else []  # has our own rows, of the same runs
        folders = [args.out / name, *(folder for of, folder in also if of == name), *shared]
        found = measured(name, folders)
        if not found["rows"] and name != "published":
            print(f"{name}: no run of it is finished in {', '.join(map(str, folders))}; its tables stay as they are")
            continue
        planned = _planned(name)
        kept = [row for row in _experiments().get(name, found)["rows"] if _identity(row) in planned]
        rows = sorted(merged(kept, found["rows"]), key=lambda row: planned.index(_identity(row)))
        write(name, {**found, "rows": rows})
        print(f"{name}: {_finished(found)} runs are finished; {FILE.name} and the pages are written", flush=True)


def run(name: str, data: str, out: Path, *options: str) -> None:
    """Run a comparison, or what is left of it; a run of it that fails does not end the others."""
    command = ["compare", name, "--data", data, "--out", str(out), *options]
    start = "from collab_asd.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", start, *command], check=False)
    if done.returncode:
        print(f"{name}: ended with {done.returncode}; what is finished is taken", file=sys.stderr)


def merged(before: Sequence[Values], now: Sequence[Values]) -> list[Values]:
    """Return the rows of now, and those of before that have more seeds or are of what was not found now."""
    of = {_identity(row): row for row in before}
    for row in now:
        if len(row["seeds"]) >= len(of.get(_identity(row), row)["seeds"]):
            of[_identity(row)] = row
    return list(of.values())


def _identity(row: Values) -> tuple[Any, ...]:
    return row["method"], row["encoder"], row["scorer"], row.get("partition")


def _planned(name: str) -> list[tuple[Any, ...]]:
    """Return what `_identity` gives for each row of a comparison, in the order of its tables."""
    experiment = Experiment.read(find_experiment(name))
    cells = collect(experiment, experiment.cells(Path("nowhere"))).cells
    return list(dict.fromkeys((c.method, c.config.encoder, c.scorer, c.partition or None) for c in cells))


def _experiments() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["experiments"] if FILE.exists() else {}
    return found


def write(name: str, found: Values) -> None:
    """Put a comparison into the file, with the machine that it was measured on, and into the pages."""
    last = machine()
    experiments = {**_experiments(), name: {**found, **last}}
    evidence = {**(experiments.get("toycar", {}) or last), "experiments": experiments}
    evidence = {key: evidence.get(key, last.get(key)) for key in ("machine", "versions", "experiments")}
    FILE.write_text(json.dumps(evidence, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for page in PAGES:
        page.write_text(written_into(page.read_text(encoding="utf-8"), evidence), encoding="utf-8")


if __name__ == "__main__":
    main()
