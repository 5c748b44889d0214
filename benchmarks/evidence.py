"""Measure what README and docs state about real recordings again, and write it into them.

    python benchmarks/evidence.py --data PATH/TO/toycar [--out DIR] [--weights yamnet=yamnet.h5] [--collect]

Runs the comparisons `EXPERIMENTS`, hours each and resumable, and writes ``docs/evidence.json``: every figure with its
command, the machine and the versions. Tables between ``<!-- evidence: NAME -->`` and ``<!-- end -->`` are then written
anew; a test compares them with the file. ``--collect`` runs nothing and takes what is finished.
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

from collab_asd.core.types import NORMAL
from collab_asd.experiments.experiment import Experiment, find_experiment
from collab_asd.experiments.results import Comparison, collect
from collab_asd.experiments.tables import Row
from collab_asd.report.comparison import Estimate
from collab_asd.report.reading import read_scores

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "evidence.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "evidence.md")
EXPERIMENTS = ("toycar", "published")
LIBRARIES = ("collab-asd", "torch", "numpy", "scipy", "scikit-learn", "flwr", "pytorch-metric-learning")
BLOCK = re.compile(r"(<!-- evidence: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Values = Mapping[str, Any]


def measured(name: str, out: Path, command: str) -> dict[str, Any]:
    """Return the rows of a comparison, as far as its runs are finished."""
    experiment = Experiment.read(find_experiment(name))
    comparison = collect(experiment, experiment.cells(out / name))
    return {
        "command": command,
        "runs": f"{len(comparison.summaries)} of {len(comparison.cells)}",
        "rows": [_row(row, comparison) for row in comparison.rows],
    }


def _row(row: Row, comparison: Comparison) -> dict[str, Any]:
    cells = [
        c for c in comparison.cells if (c.method, c.config.encoder, c.scorer) == (row.method, row.encoder, row.scorer)
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
        "seeds": list(row.seeds),
        "auc": _estimate(row.auc),
        "minus sharing": _estimate(row.gain),
        "clips to settle": _finite(row.clips_to_settle),
        "by machine": {machine: _estimate(value) for machine, value in row.auc_by_machine.items()},
        "id accuracy": row.id_accuracy.mean if row.id_accuracy else None,
        "false alarms": {
            "mean": alarms / clips,
            "low": float(reached.low),
            "high": float(reached.high),
            "clips": clips,
        },
        "MB": row.bytes_sent.mean / 1e6 if row.bytes_sent else None,
        "bold": row.stands_out,
    }


def _estimate(value: Estimate | None) -> dict[str, float | None] | None:
    return None if value is None else {"mean": value.mean, "low": value.low, "high": value.high}


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


def render(name: str, evidence: Values) -> str:
    """Return the table of that name as it stands in a page."""
    if name == "machine":
        of, versions = evidence["machine"], evidence["versions"]
        parts = [f"{of['processor']}, {of['cores']} cores, one thread"]
        return f"Measured on {', '.join([*parts, *(f'{key} {value}' for key, value in versions.items())])}.\n"
    experiment, _, kind = name.partition("-")
    found = evidence["experiments"][experiment]
    if not found["rows"]:
        return "No run of it is finished yet.\n"
    lines = {"table": _table, "machines": _by_machine}[kind](found["rows"])
    return "\n".join([*lines, "", f"`{found['command']}`; {found['runs']} runs finished.", ""])


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
    needed = row["clips to settle"]
    cells = (
        f"`{row['method']}`, {row['scorer']}",
        f"`{row['encoder']}`",
        str(len(row["seeds"])),
        f"**{auc}**" if row["bold"] else auc,
        with_ends(row["minus sharing"], "+"),
        "–" if needed is None else f"{round(needed, -1):,.0f}",
        "–" if row["id accuracy"] is None else f"{row['id accuracy']:.2f}",
        f"{100 * alarms['mean']:.1f} % [{100 * alarms['low']:.1f}, {100 * alarms['high']:.1f}]",
        f"{row['MB']:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _by_machine(rows: Sequence[Values]) -> list[str]:
    machines = list(rows[0]["by machine"])
    heading = f"| method, scorer | encoder | {' | '.join(machines)} |"
    cells = (
        [f"`{r['method']}`, {r['scorer']}", f"`{r['encoder']}`", *(with_ends(r["by machine"][m]) for m in machines)]
        for r in rows
    )
    return [heading, "|---" * (2 + len(machines)) + "|", *(f"| {' | '.join(line)} |" for line in cells)]


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
    return BLOCK.sub(lambda found: f"{found[1]}{render(found['name'], evidence)}{found[3]}", text)


def main() -> None:
    """Run, collect and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="")
    parser.add_argument("--out", type=Path, default=Path("results/evidence"))
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--collect", action="store_true")
    args = parser.parse_args()
    experiments = {}
    for name in EXPERIMENTS:
        command = ["collab-asd", "compare", name, "--data", args.data, "--out", str(args.out / name)]
        command += [word for given in args.weights for word in ("--weights", given) if name == "published"]
        if not args.collect:
            start = "from collab_asd.cli.main import main; main()"
            subprocess.run([sys.executable, "-c", start, *command[1:]], check=True)
        experiments[name] = measured(name, args.out, f"collab-asd compare {name} --data toycar")
    evidence = {**machine(), "experiments": experiments}
    FILE.write_text(json.dumps(evidence, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for page in PAGES:
        page.write_text(written_into(page.read_text(encoding="utf-8"), evidence), encoding="utf-8")


if __name__ == "__main__":
    main()
