"""Statistics of a comparison, against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from collab_asd.detection.intervals import LabelledScores
from collab_asd.experiments.tables import CellResult, summarize_rows


def cell(method, scorer, seed, auc, encoder="logmel", machines=None):
    return CellResult(method, encoder, scorer, seed, auc, 0.6, None, 0.1, 1000.0 * (seed + 1), 2.0, machines or {})


def test_difference_is_taken_seed_by_seed():
    reference = [cell("embedding-sharing", "fusion", s, auc) for s, auc in enumerate([0.7, 0.8, 0.8])]
    other = [cell("local-knn", "knn", s, auc) for s, auc in enumerate([0.8, 0.95, 0.8])]
    _, row = summarize_rows(reference + other, "fusion")
    assert row.gain.mean == pytest.approx(0.25 / 3)
    assert row.gain.deviation == pytest.approx(0.07637626, rel=1e-6)
    assert row.gain.half_width == pytest.approx(0.189730, rel=1e-5)
    assert row.auc.mean == pytest.approx(0.85)
    assert row.bytes_sent.mean == 2000.0


def test_only_seeds_that_both_have_are_paired():
    reference = [cell("embedding-sharing", "fusion", s, auc) for s, auc in ((0, 0.7), (2, 0.9))]
    other = [cell("local-knn", "knn", s, auc) for s, auc in ((0, 0.8), (1, 0.1))]
    _, row = summarize_rows(reference + other, "fusion")
    assert (row.gain.mean, row.gain.n, row.gain.half_width) == (pytest.approx(0.1), 1, None)
    assert row.seeds == (0, 1)


def test_reference_is_that_of_the_same_encoder_and_the_default_scorer():
    rows = summarize_rows(
        [
            cell("embedding-sharing", "fusion", 0, 0.9),
            cell("embedding-sharing", "knn", 0, 0.8),
            cell("embedding-sharing", "fusion", 0, 0.5, encoder="yamnet"),
            cell("local-knn", "knn", 0, 0.6, encoder="yamnet"),
            cell("local-knn", "knn", 0, 0.6, encoder="random-conv"),
        ],
        "fusion",
    )
    assert [row.is_reference for row in rows] == [True, False, True, False, False]
    assert [row.gain and row.gain.mean for row in rows] == [
        None,
        pytest.approx(-0.1),
        None,
        pytest.approx(0.1),
        pytest.approx(-0.3),  # no embedding sharing with this encoder: the first one's
    ]


def with_scores(method, scorer, seed, shift, encoder="logmel", noise=0.0, clips=50):
    """A cell whose anomalies score by so much higher than its normal clips; the clips are alike for all."""
    normal, anomaly = np.random.default_rng(0).normal(size=(2, clips)) + noise * np.random.default_rng(1).normal(
        size=(2, clips)
    )
    keys = tuple(tuple((0, f"{kind}{i}") for i in range(clips)) for kind in "na")
    scores = LabelledScores(keys, normal, anomaly + shift)
    return replace(cell(method, scorer, seed, float(scores.wins.mean()), encoder), labelled={"fan/00": scores})


def test_what_more_than_chance_sets_apart_stands_out():
    rows = summarize_rows(
        [
            with_scores("embedding-sharing", "fusion", 0, 2.0),
            with_scores("local-knn", "knn", 0, 0.5),
            with_scores("embedding-sharing", "fusion", 0, 1.0, encoder="yamnet"),
            with_scores("local-knn", "knn", 0, 1.2, encoder="yamnet", noise=1.0),
            with_scores("local-mahalanobis", "mahalanobis", 0, 2.5, encoder="yamnet"),
            cell("embedding-sharing", "fusion", 0, 0.5, encoder="random-conv"),
            cell("local-knn", "knn", 0, 0.9, encoder="random-conv"),
        ],
        "fusion",
    )
    assert [row.is_best for row in rows] == [False, False, False, False, True, False, False]
    assert [row.stands_out for row in rows] == [False, False, False, False, True, False, False]
    assert [row.clips_to_settle is not None for row in rows] == [False, False, False, True, False, False, False]
    assert rows[3].clips_to_settle > 100, rows[3].gain


def test_what_leads_is_ahead_of_methods_that_have_another_encoder_too():
    led = [with_scores("embedding-sharing", "fusion", 0, 2.0), with_scores("local-knn", "knn", 0, 0.5)]
    other = with_scores("local-mahalanobis", "mahalanobis", 0, 1.95, encoder="yamnet", noise=0.3)
    assert [row.leads for row in summarize_rows(led, "fusion")] == [True, False]
    assert [row.leads for row in summarize_rows([*led, other], "fusion")] == [False, False, False]


def test_a_method_with_an_encoder_of_its_own_is_measured_against_the_first_that_embedding_sharing_has():
    rows = summarize_rows(
        [
            cell("embedding-sharing", "fusion", 0, 0.9, encoder="logmel"),
            cell("embedding-sharing", "fusion", 0, 0.8, encoder="random-conv"),
            cell("fedavg", "fusion", 0, 0.7, encoder="random-conv"),
            cell("centralized", "fusion", 0, 0.95, encoder="waveform"),
        ],
        "fusion",
    )
    assert [row.gain and round(row.gain.mean, 6) for row in rows] == [None, None, -0.1, 0.05]
    assert [row.is_reference for row in rows] == [True, True, False, False]


def test_unlabelled_recordings_give_rows_without_auc():
    rows = summarize_rows([cell("embedding-sharing", "fusion", 0, None), cell("local-knn", "knn", 0, None)], "fusion")
    assert [(row.auc, row.gain, row.is_best) for row in rows] == [(None, None, False)] * 2
    assert rows[0].false_alarm_rate.mean == 0.1


def test_machines_are_averaged_over_seeds():
    results = [
        cell("local-knn", "knn", 0, 0.5, machines={"fan/00": 0.4, "fan/01": None}),
        cell("local-knn", "knn", 1, 0.6, machines={"fan/00": 0.6, "fan/01": None}),
    ]
    (row,) = summarize_rows(results, "fusion")
    assert row.auc_by_machine["fan/00"].mean == pytest.approx(0.5)
    assert row.auc_by_machine["fan/01"] is None
