"""The challenge's files, read as the challenge reads them: names, two columns, labels from file names."""

import csv

import numpy as np
import pytest

from collab_asd.core.types import ScoreRow, ScoreTable
from collab_asd.detection.evaluation import evaluate
from collab_asd.federation.results import write_dcase


def table():
    rng = np.random.default_rng(5)
    rows = []
    for machine_type, machine_id in (("fan", "00"), ("Toy Car", "01")):
        for i in range(60):
            label, score = i % 2, float(rng.normal(i % 2, 1.0))
            name = f"{machine_type}/test/{('normal', 'anomaly')[label]}_id_{machine_id}_{i:08d}.wav"
            rows.append(ScoreRow(0, machine_type, machine_id, name, label, score, 0.5, int(score > 0.5)))
    return ScoreTable(tuple(rows))


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def official_measures(lines):
    """AUC and pAUC of one score file by their definitions in the challenge's description, equations 1 and 2.

    pAUC averages over the floor(p n) highest-scoring normal clips alone, so it is not standardized.
    """
    normal = np.array([float(score) for name, score in lines if name.startswith("normal")])
    anomaly = np.array([float(score) for name, score in lines if name.startswith("anomaly")])
    auc = (anomaly[:, None] > normal).mean()
    highest = np.sort(normal)[::-1][: int(0.1 * len(normal))]
    return auc, (anomaly[:, None] > highest).mean()


def standardized(pauc, p=0.1):
    """McClish's correction, as scikit-learn and the challenge's evaluator apply it: chance is 0.5, perfection 1."""
    area, least = pauc * p, p * p / 2
    return (1 + (area - least) / (p - least)) / 2


def test_an_independent_evaluator_finds_our_auc_and_pauc(tmp_path):
    write_dcase(tmp_path, table())
    for machine, name in zip(evaluate(table()).machines, ("Toy Car_id_01", "fan_id_00"), strict=True):
        auc, pauc = official_measures(read(tmp_path / f"anomaly_score_{name}.csv"))
        assert machine.auc == pytest.approx(auc, abs=1e-12)
        assert machine.pauc == pytest.approx(standardized(pauc), abs=1e-12)


def test_files_hold_one_line_per_clip_by_base_name_and_every_digit(tmp_path):
    write_dcase(tmp_path, table())
    scores = read(tmp_path / "anomaly_score_fan_id_00.csv")
    decisions = read(tmp_path / "decision_result_fan_id_00.csv")
    assert [name for name, _ in scores] == [name for name, _ in decisions] == sorted(name for name, _ in scores)
    by_name = {row.clip.split("/")[-1]: row for row in table().rows if row.machine_type == "fan"}
    assert {name: float(score) for name, score in scores} == {n: r.anomaly_score for n, r in by_name.items()}
    assert {name: int(decision) for name, decision in decisions} == {n: r.decision for n, r in by_name.items()}
    assert len(list(tmp_path.iterdir())) == 4


def test_machine_whose_clips_share_file_names_has_no_files(tmp_path, caplog):
    rows = [
        ScoreRow(0, "fan", "00", f"fan/id_00/{kind}/00000001.wav", 0, 1.0, 0.5, 1) for kind in ("normal", "abnormal")
    ]
    write_dcase(tmp_path, ScoreTable((*rows, ScoreRow(0, "fan", "02", rows[0].clip, 0, 1.0, 0.5, 1))))
    assert {path.name for path in tmp_path.iterdir()} == {
        "anomaly_score_fan_id_02.csv",
        "decision_result_fan_id_02.csv",
    }
    assert "00000001.wav" in caplog.text
