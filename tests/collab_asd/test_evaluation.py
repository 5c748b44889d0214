from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from collab_asd.core.types import ScoreRow, ScoreTable
from collab_asd.detection.evaluation import evaluate


def table(scores, labels, machine="01", decisions=None, correct=None):
    decisions = decisions or [0] * len(scores)
    correct = correct or [None] * len(scores)
    return [
        ScoreRow(0, "fan", machine, f"{i}.wav", label, score, 0.5, decision, right)
        for i, (score, label, decision, right) in enumerate(zip(scores, labels, decisions, correct, strict=True))
    ]


def only(rows):
    return evaluate(ScoreTable(tuple(rows))).machines[0]


def test_auc_counts_ordered_pairs():
    # Of the 4 pairs (normal, anomaly), (0.1, 0.4), (0.1, 0.8) and (0.35, 0.8) are in order and (0.35, 0.35) is a tie.
    result = only(table([0.1, 0.35, 0.35, 0.8], [0, 0, 1, 1]))
    assert result.auc == 3.5 / 4


def test_pauc_is_standardized_to_half_for_chance():
    """McClish: (1 + (pAUC - min) / (max - min)) / 2 with max = 0.1 and min = 0.1^2 / 2."""
    normals, anomalies = np.arange(10.0), [8.5]  # one of ten normals lies above: TPR is 0 up to FPR 0.1
    result = only(table([*normals, *anomalies], [0] * 10 + [1]))
    assert result.pauc == pytest.approx((1 + (0 - 0.005) / (0.1 - 0.005)) / 2)


def test_machine_without_anomalies_has_no_auc_but_a_false_alarm_rate():
    result = only(table([0.1, 0.9, 0.2, 0.3], [0, 0, 0, None], decisions=[0, 1, 0, 1]))
    assert (result.auc, result.pauc, result.auc_interval, result.recall, result.f1) == (None,) * 5
    assert result.false_alarm_rate == pytest.approx(1 / 3)


def test_total_counts_every_id_alike_however_many_its_type_has():
    rows = table([0, 1], [0, 1], "01") + table([0, 1], [0, 1], "02")
    pump = [replace(row, machine_type="pump") for row in table([1, 0], [0, 1], "01")]
    evaluation = evaluate(ScoreTable((*rows, *pump)))
    assert evaluation.total("auc") == pytest.approx(2 / 3)
    assert evaluation.by_type("auc") == {"fan": 1.0, "pump": 0.0}


def test_decisions_give_recall_and_f1():
    result = only(table([0] * 6, [0, 0, 0, 1, 1, 1], decisions=[1, 0, 0, 1, 1, 0]))
    assert (result.false_alarm_rate, result.recall) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert result.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_id_accuracy_is_over_test_normals_only():
    assert only(table([0] * 4, [0, 0, 1, 1], correct=[True, False, False, False])).id_accuracy == 0.5


def test_total_is_the_mean_over_ids_that_have_the_measure():
    rows = table([0, 1], [0, 1], "01") + table([1, 0], [0, 1], "02") + table([1, 0], [0, 0], "03")
    evaluation = evaluate(ScoreTable(tuple(rows)))
    assert evaluation.total("auc") == 0.5
    assert evaluation.by_id("auc") == {"fan/01": 1.0, "fan/02": 0.0, "fan/03": None}
    assert evaluation.by_type("auc") == {"fan": 0.5}


@pytest.mark.parametrize(("normals", "anomalies", "low"), [(1, 1, 1 / (1 + 3.8415)), (5, 4, 0.6115), (30, 30, 0.9330)])
def test_the_interval_of_a_perfect_detector_is_wide_where_clips_are_few(normals, anomalies, low):
    """Newcombe's lower end solves (1 - A)^2 = 1.96^2 V(A); of one pair V(A) is A (1 - A)."""
    result = only(table([*range(normals), *range(100, 100 + anomalies)], [0] * normals + [1] * anomalies))
    assert result.auc == 1.0
    assert result.auc_interval == (pytest.approx(low, abs=1e-4), pytest.approx(1.0))


def test_the_interval_of_an_inverted_detector_mirrors_that_of_a_perfect_one():
    low, high = only(table([0, 1, 2, 3], [0, 0, 1, 1])).auc_interval
    assert only(table([2, 3, 0, 1], [0, 0, 1, 1])).auc_interval == (pytest.approx(1 - high), pytest.approx(1 - low))


def test_the_interval_has_about_the_width_of_theory():
    """Hanley & McNeil (1982): the standard error of an AUC from 200 and 200 clips at AUC 0.76 is about 0.0236."""
    rng = np.random.default_rng(0)
    result = only(table([*rng.normal(size=200), *rng.normal(1, size=200)], [0] * 200 + [1] * 200))
    low, high = result.auc_interval
    assert low < result.auc < high
    assert (high - low) / (2 * 1.96) == pytest.approx(0.0236, rel=0.15)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    """Normal scores one standard deviation apart have an AUC of 0.760; 10 and 10 clips, 400 draws."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        result = only(table([*rng.normal(size=10), *rng.normal(1, size=10)], [0] * 10 + [1] * 10))
        covered += result.auc_interval[0] <= 0.7602 <= result.auc_interval[1]
    assert 0.93 <= covered / 400 <= 0.99


@pytest.mark.parametrize(
    ("normals", "anomalies", "few"), [(10, 10, False), (9, 10, True), (10, 9, True), (70, 4, True)]
)
def test_fewer_than_ten_clips_of_a_kind_are_too_few(normals, anomalies, few):
    rows = table(range(normals + anomalies), [0] * normals + [1] * anomalies)
    assert only(rows).few_test_clips == few


def test_without_an_auc_there_is_nothing_to_call_uncertain():
    assert not only(table([0, 1], [0, 0])).few_test_clips


# --- several clients hold clips of one machine ----------------------------------------------------------------------


def at(client, rows):
    return [replace(row, client=client) for row in rows]


def test_auc_is_the_share_of_ordered_pairs_within_a_client():
    """Client 0: 3 of 4 pairs in order; client 1, whose scores are a thousand times higher: 1 of 2 pairs."""
    rows = at(0, table([1, 3, 2, 4], [0, 0, 1, 1])) + at(1, table([2000, 1000, 3000], [0, 1, 1]))
    assert only(rows).auc == pytest.approx((4 * (3 / 4) + 2 * (1 / 2)) / 6)


def test_pauc_is_weighted_by_pairs_as_well():
    """A perfect client of 2 x 2 pairs, and one of 10 x 1 whose pAUC is that of McClish's example above."""
    rows = at(0, table([1, 2, 3, 4], [0, 0, 1, 1])) + at(1, table([*np.arange(10.0), 8.5], [0] * 10 + [1]))
    low = (1 + (0 - 0.005) / (0.1 - 0.005)) / 2
    assert only(rows).pauc == pytest.approx((4 * 1 + 10 * low) / 14)


def test_a_client_with_clips_of_one_kind_has_no_pairs_but_decisions():
    rows = at(0, table([1, 2], [0, 1], decisions=[0, 1])) + at(1, table([9, 8], [0, 0], decisions=[1, 0]))
    result = only(rows)
    assert result.auc == 1.0
    assert result.auc_interval == only(table([1, 2], [0, 1])).auc_interval  # the other client adds no pair
    assert result.false_alarm_rate == pytest.approx(1 / 3)
    assert only(at(0, table([1], [0])) + at(1, table([2], [1]))).auc is None


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.sampled_from([0, 1])), min_size=1, max_size=30))
def test_with_one_client_per_machine_nothing_is_weighted(clips):
    """To the last bit, the AUC and pAUC of scikit-learn over all clips of the machine."""
    scores, labels = zip(*clips, strict=True)
    result = only(table(scores, labels))
    if len(set(labels)) == 1:
        assert result.auc is None
    else:
        assert result.auc == roc_auc_score(labels, scores)
        assert result.pauc == roc_auc_score(labels, scores, max_fpr=0.1)


def of_section(domain, label, scores, folder="test", section="section_00"):
    return [
        ScoreRow(0, "fan", section, f"fan/{folder}/{domain}{label}{i}.wav", label, score, 0.5, 0, domain=domain)
        for i, score in enumerate(scores)
    ]


def test_from_2022_on_a_domain_ranks_its_normals_against_the_anomalies_of_both():
    rows = [
        *of_section("source", 0, [0.1, 0.5]),
        *of_section("source", 1, [0.3, 0.9]),
        *of_section("target", 0, [0.2, 0.8]),
        *of_section("target", 1, [0.4, 0.7]),
    ]
    evaluation = evaluate(ScoreTable(tuple(rows)))
    (section,) = evaluation.sections
    assert section.auc_source == 6 / 8  # 0.3 and 0.4 lie below 0.5
    assert section.auc_target == 5 / 8  # 0.3, 0.4 and 0.7 lie below 0.8
    assert section.pauc == roc_auc_score([r.label for r in rows], [r.anomaly_score for r in rows], max_fpr=0.1)
    figures = [section.auc_source, section.auc_target, section.pauc]
    assert evaluation.official_score == pytest.approx(3 / sum(1 / x for x in figures))
    assert evaluation.official_by_type() == {"fan": evaluation.official_score}
    assert evaluation.machines == evaluate(ScoreTable(tuple(replace(row, domain="") for row in rows))).machines


def test_in_2021_each_domain_stands_alone():
    rows = [
        *of_section("source", 0, [0.1, 0.5], "source_test"),
        *of_section("source", 1, [0.3, 0.9], "source_test"),
        *of_section("target", 0, [0.2, 0.8], "target_test"),
        *of_section("target", 1, [0.4, 0.7], "target_test"),
    ]
    (section,) = evaluate(ScoreTable(tuple(rows))).sections
    assert (section.auc_source, section.auc_target) == (3 / 4, 2 / 4)
    assert section.official == (section.auc_source, section.auc_target, section.pauc_source, section.pauc_target)


def test_domain_without_labelled_clips_counts_for_nothing_and_no_domain_means_no_sections():
    rows = of_section("source", 0, [0.1]) + of_section("source", 1, [0.9]) + of_section("target", None, [0.4])
    evaluation = evaluate(ScoreTable(tuple(rows)))
    assert evaluation.sections[0].auc_target is None
    assert evaluation.official_score == 1.0
    assert evaluate(ScoreTable(tuple(of_section("", 0, [0.1])))).sections == ()
