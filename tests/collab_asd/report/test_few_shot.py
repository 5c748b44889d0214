import pytest

from collab_asd.data.partitions import evenness
from collab_asd.report import few_shot
from collab_asd.report.comparison import Estimate
from collab_asd.report.few_shot import CURVES, CurvePoint, curve, few_shot_panels, is_few_shot, place
from collab_asd.report.reading import read_run


def point(clips, auc, method="embedding-sharing", scorer="knn"):
    return CurvePoint(method, "logmel", scorer, f"clips-{clips}", Estimate(auc, 0.01, 0.02, 3), None, None)


@pytest.mark.parametrize("name", CURVES)
def test_shipped_curves_have_all_measures(name):
    points = curve(name)
    assert {p.method for p in points} >= {"embedding-sharing", "covariance-sharing", "local-mahalanobis", "local-knn"}
    for p in points:
        assert p.auc is not None
        assert 0.4 < p.auc.mean < 1.0
        assert p.recall is not None
        assert p.false_alarm_rate is not None
    default = [p.auc.mean for p in sorted(points, key=lambda p: evenness(p.partition)) if p.label.endswith("fusion")]
    assert default[0] < default[-1]


def test_a_run_is_placed_by_its_number_of_recordings(make_folder, monkeypatch):
    points = (point(5, 0.7), point(10, 0.8), point(40, 0.9), point(80, 0.905))
    monkeypatch.setattr(few_shot, "curve", lambda name: points if name == "toycar" else ())
    placing = place(read_run(make_folder()))
    text = " ".join(placing.words)
    assert "have 1 normal recording each" in text
    # one recording each: the curve begins with five
    assert "AUC 0.70 with 5 recordings each, 0.90 with 40; more than 40 brought no more than 0.01" in text
    assert list(placing.figures) == [CURVES["toycar"]]
    dots = [line for line in placing.figures[CURVES["toycar"]].axes[0].lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots] == [(1, 0.75), (1, 0.75)]


def test_a_run_without_labels_is_placed_by_a_line(make_folder, monkeypatch):
    monkeypatch.setattr(few_shot, "curve", lambda name: (point(5, 0.7), point(10, 0.8)) if name == "toycar" else ())
    placing = place(read_run(make_folder(labels=("", ""))))
    axes = placing.figures[CURVES["toycar"]].axes[0]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]


def test_panels_are_drawn_where_the_number_of_clips_differs():
    rows = [point(5, 0.7), point(10, 0.8), point(5, 0.6, "local-knn"), point(10, 0.65, "local-knn")]
    assert is_few_shot(rows)
    (axes,) = few_shot_panels(rows).axes  # nothing but the AUC is known
    assert axes.get_legend_handles_labels()[1] == ["embedding-sharing, knn", "local-knn"]
    assert few_shot_panels(rows[:1]) is None
