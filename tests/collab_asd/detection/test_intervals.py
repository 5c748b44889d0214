"""Intervals over seeds and clips, against DeLong's variance, SciPy's bootstrap and Student's t."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, t

from collab_asd.core.types import ScoreRow, ScoreTable
from collab_asd.detection.intervals import auc_interval, labelled_scores


def rows(machine, normal, anomaly, clients=None):
    scores = [*normal, *anomaly]
    clients = clients or [0] * len(scores)
    labels = [0] * len(normal) + [1] * len(anomaly)
    return [
        ScoreRow(client, "fan", machine, f"{i:03d}.wav", label, float(score), 0.0, 0)
        for i, (client, label, score) in enumerate(zip(clients, labels, scores, strict=True))
    ]


def scores(*machines):
    """Of machines 00, 01, ..., each a pair of normal and anomalous scores."""
    found = [row for i, (normal, anomaly) in enumerate(machines) for row in rows(f"{i:02d}", normal, anomaly)]
    return labelled_scores(ScoreTable(tuple(found)))


def draw(seed, shift, n=80, m=60):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.normal(shift, 1, size=m)


def components(normal, anomaly):
    """DeLong's structural components: of each anomaly, and of each normal clip."""
    wins = (anomaly[:, None] > normal) + 0.5 * (anomaly[:, None] == normal)
    return wins.mean(axis=1), wins.mean(axis=0)


def half_width(interval):
    return (interval.high - interval.low) / 2


def test_one_seed_has_delongs_interval():
    normal, anomaly = draw(0, 1.0)
    of_anomalies, of_normals = components(normal, anomaly)
    deviation = np.sqrt(of_anomalies.var(ddof=1) / len(anomaly) + of_normals.var(ddof=1) / len(normal))
    found = auc_interval([scores((normal, anomaly))])
    assert half_width(found) == pytest.approx(norm.ppf(0.975) * deviation, rel=0.06)
    assert found.clips_alone == pytest.approx(half_width(found))
    assert found.clips == 140


def test_a_difference_on_the_same_clips_has_delongs_paired_interval():
    normal, anomaly = draw(1, 1.0)
    rng = np.random.default_rng(2)
    others = normal + 0.3 * rng.normal(size=len(normal)), anomaly + 0.3 * rng.normal(size=len(anomaly))
    ours, theirs = components(normal, anomaly), components(*others)
    parts = [(a - b).var(ddof=1) / len(a) for a, b in zip(ours, theirs, strict=True)]
    found = auc_interval([scores((normal, anomaly))], [scores(others)])
    assert half_width(found) == pytest.approx(norm.ppf(0.975) * np.sqrt(sum(parts)), rel=0.08)
    unpaired = auc_interval([scores((normal, anomaly))])
    assert half_width(found) < 0.6 * half_width(unpaired)


def test_clips_are_drawn_as_scipy_draws_them():
    normal, anomaly = draw(3, 1.5)

    def auc(a, b, axis):
        return (np.moveaxis(np.asarray(b), axis, -1)[..., None] > np.asarray(a)[..., None, :]).mean(axis=(-1, -2))

    expected = bootstrap(
        (normal, anomaly), auc, n_resamples=2000, batch=100, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    found = auc_interval([scores((normal, anomaly))])
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=0.006), pytest.approx(expected.high, abs=0.006))


def test_seeds_count_as_student_has_it():
    """Scores that no draw of clips can change: an AUC of 1, 0 and 1."""
    runs = [scores(([0.0, 0.1], [x, x + 0.1])) for x in (5.0, -5.0, 5.0)]
    against = [scores(([0.0, 0.1], [-5.0, -4.9]))] * 3
    found = auc_interval(runs, against)
    expected = t.ppf(0.975, 2) * np.std([1, 0, 1], ddof=1) / np.sqrt(3)
    assert 2 / 3 - found.low == pytest.approx(expected, rel=0.15)
    assert found.high == 1  # no difference of two AUCs lies beyond
    assert (found.clips_alone, found.clips_to_settle(2 / 3)) == (0, None)  # more clips would not help
    assert (auc_interval(runs).low, auc_interval(runs).high) == (0, 1)  # no AUC lies beyond


def test_machines_are_averaged():
    one, four = (auc_interval([scores(*(draw(seed, 1.0) for seed in range(n)))]) for n in (1, 4))
    assert half_width(four) == pytest.approx(half_width(one) / 2, rel=0.3)


def test_only_pairs_within_a_client_count():
    """At each client all are in order, and across clients none is."""
    table = rows("00", [0, 1, 10, 11], [2, 3, 12, 13], clients=[0, 0, 1, 1, 0, 0, 1, 1])
    found = auc_interval([labelled_scores(ScoreTable(tuple(table)))])
    assert (found.low, found.high) == (1.0, 1.0)


def test_other_clips_and_clips_of_one_kind_have_no_interval():
    normal, anomaly = draw(0, 1.0)
    assert auc_interval([scores((normal, anomaly))], [scores((normal[:-1], anomaly))]) is None
    assert auc_interval([scores((normal, []))]) is None
    assert auc_interval([]) is None


def test_the_clips_that_would_settle_a_difference():
    """Half as wide takes four times the clips."""
    normal, anomaly = draw(1, 1.0)
    found = auc_interval([scores((normal, anomaly))], [scores((normal, anomaly))])
    assert found.clips_to_settle(0.0) == np.inf
    rng = np.random.default_rng(0)
    noisy = [scores((normal + rng.normal(size=80), anomaly + rng.normal(size=60))) for _ in range(2)]
    found = auc_interval(noisy[:1], noisy[1:])
    assert found.low < 0 < found.high
    assert found.clips_to_settle(found.clips_alone / 2) == pytest.approx(4 * 140)
    clear = auc_interval([scores((normal, anomaly + 5))], [scores((normal, anomaly))])
    assert clear.clips_to_settle(0.2) is None
