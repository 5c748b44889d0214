"""What README and docs state is what was measured: their tables are those that ``docs/evidence.json`` gives."""

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest

from baselines.client_training.rounds import settings_of
from baselines.local_networks.glow import Glow
from baselines.local_networks.variational import Vae, Vidnn
from collab_asd.classifier.settings import PRESETS
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.experiments.experiment import Experiment, find_experiment

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("evidence_script", ROOT / "benchmarks/evidence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def evidence(script):
    return json.loads(script.FILE.read_text(encoding="utf-8"))


def test_tables_in_the_pages_are_those_that_were_measured(script, evidence):
    blocks = 0
    for page in script.PAGES:
        text = page.read_text(encoding="utf-8")
        blocks += len(script.BLOCK.findall(text))
        assert script.written_into(text, evidence) == text, f"{page}: write it anew with make evidence"
    assert blocks


def test_another_figure_in_a_page_is_noticed(script, evidence):
    for page in script.PAGES:
        text = page.read_text(encoding="utf-8")
        held = [b for b in script.BLOCK.finditer(text) if "| 0." in b[0] and script.render(b["name"], evidence)]
        for inside in (block[0] for block in held):
            for digit in "0123456789":
                changed = text.replace(inside, inside.replace("| 0.", f"| 0.{digit}", 1))
                assert changed == text or script.written_into(changed, evidence) == text


def test_what_the_pages_say_in_words_is_what_was_measured(evidence):
    """README and evidence.md draw these conclusions without numbers of their own."""
    rows = {
        (row["method"], row["scorer"]): row
        for row in evidence["experiments"]["toycar"]["rows"]
        if row["encoder"] == "logmel"
    }
    covariances = rows["covariance-sharing", "mahalanobis"]["minus sharing"]
    assert covariances["low"] < 0 < covariances["high"]  # what embeddings add may be chance
    local = rows["local-mahalanobis", "mahalanobis"]["minus sharing"]
    assert abs(covariances["mean"]) < abs(local["mean"]) / 4  # covariances make nearly all of the difference
    codec = rows["embedding-sharing-fp32", "fusion"]["minus sharing"]
    assert codec["low"] <= 0 <= codec["high"]


def published(method, scorer="knn", seeds=(0,), auc=0.75):
    ends = {"mean": auc, "low": auc - 0.1, "high": auc + 0.1}
    return {
        "method": method,
        "scorer": scorer,
        "encoder": "logmel",
        "seeds": list(seeds),
        "auc": ends,
        "auc by seed": [auc] * len(seeds),
        "id accuracy": 0.5,
    }


def rendered(script, name, rows):
    found = {
        "command": "collab-asd compare published --data toycar",
        "cells": 72,
        "seeds": [0, 1, 2],
        "rows": rows,
    }
    return script.render(name, {"experiments": {"published": found}})


def test_rows_as_published_stand_there_once_a_seed_is_done(script):
    ours = published("embedding-sharing-per-window", auc=0.875)
    for rows in ([], [ours]):
        assert rendered(script, "published-rows", rows) == ""
        assert "not finished" in rendered(script, "published-sentence", rows)
    theirs = published("published-per-window")
    table = rendered(script, "published-rows", [theirs, published("published", "fusion", (0, 1)), ours])
    assert [line.count("|") for line in table.splitlines()[:5]] == [8] * 5
    assert "one seed" in table
    assert "0.750 [0.650, 0.850]" in table
    sentence = rendered(script, "published-sentence", [theirs, ours])
    assert "`logmel` (1 of 3 seeds): 0.750 [0.650, 0.850] against 0.875 [0.775, 0.975]" in sentence
    assert "0.875" not in rendered(script, "published-sentence", [theirs, ours | {"seeds": [0, 1]}])


def test_a_table_that_was_not_measured_stays_as_it_is(script, evidence):
    page = "<!-- evidence: few-shot-clips -->\n| 5 | 0.7 |\n<!-- end -->\n"
    others = {name: found for name, found in evidence["experiments"].items() if name != "few-shot"}
    assert script.written_into(page, evidence | {"experiments": others}) == page


def cell(folder, seed, clips="a", auc=0.75):
    """Write a finished run of the experiment "published"."""
    folder /= f"cells/published-per-window-logmel-knn-{seed}"
    folder.mkdir(parents=True)
    machine = {"machine_type": "fan", "machine_id": "00", "few_test_clips": False, "few_threshold_clips": False}
    nothing = dict.fromkeys(("auc", "pauc", "auc_interval", "false_alarm_rate", "recall", "f1", "id_accuracy"))
    means = {key: {"total": auc, "by_id": {"fan/00": auc}} for key in ("auc", "pauc")}
    summary = {
        "version": 1,
        "encoder": "logmel",
        "scorer": "knn",
        "seed": seed,
        "machines": [nothing | machine],
        "id_accuracy": 0.5,
        "false_alarm_rate": 0.5,
        "recall": 0.5,
        "manifest_sha256": clips,
        **means,
        "bytes_up": {"0": 1000},
        "bytes_down": {"0": 1000},
        "seconds": {"total": 1.0},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    header = (
        "method,encoder,scorer,seed,client,machine_type,machine_id,clip,label,anomaly_score,threshold,decision,p_value"
    )
    lines = [
        f"embedding-sharing,logmel,knn,{seed},0,fan,00,{i}.wav,{i % 2},{i},1.5,{int(i > 1.5)},0.5" for i in range(8)
    ]
    (folder / "scores.csv").write_text("\n".join([header, *lines]) + "\n")


def test_finished_runs_are_taken_from_any_folder(script, tmp_path):
    cell(tmp_path / "a", 0)
    cell(tmp_path / "b", 2, auc=0.5)
    found = script.measured("published", [tmp_path / "nothing", tmp_path / "a", tmp_path / "b"])
    (row,) = found["rows"]
    all_cells = len(Experiment.read(find_experiment("published")).cells(Path()))
    assert (row["seeds"], row["auc by seed"], found["cells"]) == ([0, 2], [0.75, 0.5], all_cells)
    assert row["false alarms"]["mean"] == 0.75  # scores 0, 2, 4, 6 against 1.5
    cell(tmp_path / "c", 1, clips="b")
    with pytest.raises(InputError, match="different recordings"):
        script.measured("published", [tmp_path / "a", tmp_path / "c"])


def test_rows_of_before_stay_until_they_are_measured_with_as_many_seeds(script):
    network, other = published("published", seeds=(0, 1)), published("published-per-window")
    assert script.merged([network, other], [published("published", seeds=(2,), auc=0.5)]) == [network, other]
    now = published("published", seeds=(0, 2), auc=0.5)
    assert script.merged([network, other], [now]) == [now, other]


def test_machine_and_versions_are_recorded(evidence):
    assert {"processor", "cores", "threads"} <= evidence["machine"].keys()
    assert {"python", "torch", "numpy"} <= evidence["versions"].keys()
    for name, experiment in evidence["experiments"].items():
        assert experiment["command"].startswith("python " if name == "search" else "collab-asd compare ")


def test_no_difference_that_chance_may_have_made_is_bold(evidence):
    for experiment in evidence["experiments"].values():
        for row in experiment["rows"]:
            if row.get("bold") and (gain := row["minus sharing"]) is not None:
                assert gain["low"] > 0


@pytest.mark.parametrize(("experiment", "methods"), [("toycar", 12), ("noniid", 4), ("rooms", 2), ("synthetic", 3)])
def test_baselines_are_compared_with_the_settings_that_won_the_search(evidence, experiment, methods):
    rows = evidence["experiments"]["search"]["rows"]
    of = {(r["method"], r["normalization"], r["encoder"]): r for r in rows if r["winner"]}
    compared = set()
    for cell in Experiment.read(find_experiment(experiment)).cells(Path()):
        method = cell.method.removesuffix("-conv").removesuffix("-group")
        searched = of.get((method, cell.config.normalization, cell.config.encoder))
        if searched is None or method == "embedding-sharing":
            continue
        settings = settings_of(cell.config)
        won = searched["optimizer"], searched["learning-rate"], searched["rounds"]
        assert (settings.training.optimizer, settings.training.learning_rate, settings.rounds) == won, cell.method
        compared.add(cell.method)
    assert len(compared) == methods


def test_every_row_of_the_search_had_as_many_trials(evidence):
    trials = Counter((r["method"], r["normalization"], r["encoder"]) for r in evidence["experiments"]["search"]["rows"])
    assert len(trials) == 20
    assert set(trials.values()) == {12}


def test_the_windows_that_a_method_sees_are_those_of_its_preset():
    text = " ".join((ROOT / "docs/evidence.md").read_text(encoding="utf-8").split())
    shared, rounds = PRESETS["fast"], settings_of(RunConfig())
    stated = {shared.epochs * shared.windows_per_class: "2,100 (`embedding-sharing`"}
    assert rounds.rounds * rounds.training.windows_per_class == shared.epochs * shared.windows_per_class
    for name, detector in (("vae", Vae), ("vidnn", Vidnn), ("glow", Glow)):
        budget = detector.presets["fast"].budget
        stated[budget.epochs * budget.windows] = f"{budget.epochs * budget.windows:,} (`local-{name}`)"
    assert len(stated) == 4
    assert all(words in text for words in stated.values())
