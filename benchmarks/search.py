"""Search optimiser, rate and local steps of every method and normalisation, with the same number of trials each.

    python benchmarks/search.py --data PATH/TO/toycar_tune [--out DIR]

On tuning clips, by the AUC of the shared space alone (k-NN). Each row of `ROWS` has twelve trials with seed 0; its best
three are run with seeds 1 and 2, too, and the best mean over seeds wins. The same command takes up what was
interrupted. Writes space, trials and winners to ``docs/evidence.json`` and the table of `docs/evidence.md`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from evidence import SEARCH, run, write

LOCAL_RATES = [("adamw", 3e-4), ("adamw", 1e-3), ("adamw", 3e-3), ("sgd", 0.03), ("sgd", 0.1), ("sgd", 0.3)]
CYCLE_RATES = [("adamw", 2.5e-3), ("adamw", 5e-3), ("adamw", 1e-2), ("sgd", 0.03), ("sgd", 0.1), ("sgd", 0.3)]
ROUNDS = {"rounds": [21, 63]}  # of the same windows in all: three steps of a client in a round, or one
EPOCHS = {"epochs": [2, 3]}  # never more windows than the others see
FINALISTS, SEEDS = 3, (1, 2)
METHODS: dict[str, dict[str, str]] = {
    "embedding-sharing": {},
    "fedavg": {},
    "fedavg-anchors": {"method": "fedavg", "class-head": "anchors"},
    "fedaws": {"method": "fedavg", "class-head": "fedaws"},
    "fedprox": {},
    "split-learning": {},
    "splitfed": {},
    "splitfed-joined": {"method": "splitfed", "server-batches": "joined"},
}
BOTH_ENCODERS = ("embedding-sharing", "fedavg")
ROWS = [
    (method, normalization, encoder)
    for method in METHODS
    for encoder in (("logmel", "random-conv") if method in BOTH_ENCODERS else ("logmel",))
    for normalization in ("batch", "group")
]
Trial = dict[str, Any]


def trials(method: str, normalization: str, encoder: str) -> list[Trial]:
    """Return the settings of a row's trials."""
    central = method == "embedding-sharing"
    ((key, lengths),) = (EPOCHS if central else ROUNDS).items()
    return [
        {"method": method, **METHODS[method], "normalization": normalization, "encoder": encoder}
        | {"optimizer": optimizer, "learning-rate": rate, key: length}
        for (optimizer, rate), length in product(CYCLE_RATES if central else LOCAL_RATES, lengths)
    ]


def compare(name: str, chosen: Mapping[str, Trial], seeds: Sequence[int], args: argparse.Namespace) -> list[Trial]:
    """Run trials by their names; return what each reached with each seed, where it did not fail."""
    lines = [f'name = "{name}"', f"methods = {json.dumps(list(chosen))}", 'encoders = ["logmel", "random-conv"]']
    lines += ['scorers = ["knn"]', f"seeds = {list(seeds)}", "[method-encoders]"]
    lines += [f"{trial} = {json.dumps([settings['encoder']])}" for trial, settings in chosen.items()]
    lines += ["[method-settings]"]
    for trial, settings in chosen.items():
        pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items() if key != "encoder")
        lines.append(f"{trial} = {{ {pairs} }}")
    args.out.mkdir(parents=True, exist_ok=True)
    file, out = args.out / f"{name}.toml", args.out / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run(str(file), args.data, out)
    with (out / "table.csv").open(newline="", encoding="utf-8") as table:
        return [row for row in csv.DictReader(table) if row["state"] == "finished"]


def reached(trial: str, results: Sequence[Trial]) -> dict[str, Any]:
    """Return seeds, mean AUC and mean ID accuracy of a trial."""
    own = [row for row in results if row["method"] == trial]
    means = {
        key: float(np.mean([float(row[column]) for row in own])) if own else 0.0 for key, column in COLUMNS.items()
    }
    first = next((float(row["auc"]) for row in own if row["seed"] == "0"), 0.0)
    return {"seeds": [int(row["seed"]) for row in own], "auc seed 0": first, **means}


COLUMNS = {"auc": "auc", "id accuracy": "id_accuracy"}


def main() -> None:
    """Run both stages and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of tuning clips, which no result is reported on")
    parser.add_argument("--out", type=Path, default=Path("results/search"))
    args = parser.parse_args()
    of_rows = {
        row: {f"{'-'.join(row)}-{number}": trial for number, trial in enumerate(trials(*row), 1)} for row in ROWS
    }
    names = {name: trial for row in of_rows.values() for name, trial in row.items()}
    first = compare("first", names, (0,), args)
    best = [
        name
        for row in of_rows.values()
        for name in sorted(row, key=lambda name: -reached(name, first)["auc"])[:FINALISTS]
    ]
    results = first + compare("finalists", {name: names[name] for name in best}, SEEDS, args)
    rows = []
    for row, own in of_rows.items():
        finalists = [name for name in own if name in best]
        winner = max(finalists, key=lambda name: reached(name, results)["auc"])
        named = dict(zip(("method", "normalization", "encoder"), row, strict=True))
        rows += [{**trial, **named, **reached(name, results), "winner": name == winner} for name, trial in own.items()]
    cells = len(rows) + len(best) * len(SEEDS)
    write(SEARCH, {"command": "python benchmarks/search.py --data toycar_tune", "cells": cells, "rows": rows})


if __name__ == "__main__":
    main()
