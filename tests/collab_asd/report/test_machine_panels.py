from dataclasses import replace

import numpy as np
import pytest

from collab_asd.report.comparison import read_comparison
from collab_asd.report.plots import FALSE_ALARMS, auc_panels, mean_roc, roc_panels, score_panels


@pytest.fixture
def comparison(make_comparison):
    return read_comparison(make_comparison())


def test_bars_reach_from_guessing_to_the_mean_over_seeds(comparison):
    figure = auc_panels(comparison.entries, comparison.machines)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["fan/00", "fan/01"]
    bars = figure.axes[0].patches
    assert [bar.get_x() for bar in bars] == [0.5, 0.5]
    assert [bar.get_width() for bar in bars] == [0.375, 0.25]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.88", "0.75"]
    assert len(figure.axes[0].containers) == 2 + 2  # a bar each, and an interval over seeds and clips


def test_more_than_four_machines_get_further_rows(comparison):
    figure = auc_panels(comparison.entries, ["fan/00", "fan/01"] * 3)
    assert len(figure.axes) == 6
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 2


def found_at(rate, curve):
    return curve[np.flatnonzero(np.isclose(FALSE_ALARMS, rate))[0]]


def test_roc_is_averaged_over_seeds_at_each_rate_of_false_alarms(comparison):
    # Seed 0: of four faults one lies above all normals, two more above all but one, the last above all but two.
    # Seed 1: all faults lie above all normals.
    sharing, local = comparison.entries
    curve = mean_roc(sharing.clips("fan/00"))
    assert [found_at(rate, curve) for rate in (0, 0.25, 0.5, 1)] == [(0.25 + 1) / 2, (0.75 + 1) / 2, 1, 1]
    assert found_at(0.25, mean_roc(local.clips("fan/00"))) == 0.75


def test_clients_of_one_machine_have_curves_of_their_own(comparison):
    """Client 0 puts all in order; client 1, with a third of the pairs, the wrong way round and on a higher scale."""
    (clips,) = comparison.entries[1].clips("fan/00")
    scores = {0: ((1, 2, 3), (4,)), 1: ((11,), (10,))}
    rows = tuple(
        replace(clips.rows[0], client=client, label=label, anomaly_score=float(score))
        for client, kinds in scores.items()
        for label, of_kind in enumerate(kinds)
        for score in of_kind
    )
    curve = mean_roc([replace(clips, rows=rows)])
    assert [found_at(rate, curve) for rate in (0, 0.5, 1)] == [0.75, 0.75, 1]


def test_area_under_the_mean_curve_is_the_mean_auc(comparison):
    curve = mean_roc(comparison.entries[0].clips("fan/00"))
    assert np.trapezoid(curve, FALSE_ALARMS) == pytest.approx(0.875, abs=0.002)


def test_methods_differ_in_colour_and_line(comparison):
    figure = roc_panels(comparison.entries, comparison.machines)
    _, *lines = figure.axes[1].lines
    assert [line.get_label() for line in lines] == ["embedding-sharing, knn", "local-knn"]
    assert len({line.get_color() for line in lines}) == len({line.get_linestyle() for line in lines}) == 2


def test_scores_are_counted_beside_each_other(comparison):
    figure = score_panels(comparison.entries, "fan/00")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["embedding-sharing, knn\nAUC 0.75", "local-knn\nAUC 0.75"]
    assert figure.axes[0].get_ylabel() == "recordings"
