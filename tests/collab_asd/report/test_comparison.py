import pytest

from collab_asd.core.errors import InputError
from collab_asd.report.comparison import Line, read_comparison


def test_finished_runs_are_put_together_by_line(make_comparison):
    comparison = read_comparison(make_comparison())
    sharing, local = comparison.entries
    assert [sharing.label, local.label] == ["embedding-sharing, knn", "local-knn"]
    assert [len(sharing.runs), len(local.runs)] == [2, 1]
    assert comparison.encoders == ["logmel"]
    assert comparison.machines == ["fan/00", "fan/01"]
    auc = sharing.auc_of("fan/01")
    assert auc.mean == pytest.approx((12 / 16 + 1) / 2)
    assert auc.half_width == pytest.approx(12.706205 * 0.125, rel=1e-6)  # two values differ by 0.25 = 2 standard errors
    assert local.auc_of("fan/01").half_width is None
    assert sharing.auc_of("fan/09") is None


def test_label_does_not_repeat_the_scorer():
    assert Line("local-knn", "logmel", "knn", "").label == "local-knn"
    assert Line("fedavg", "logmel", "knn", "iid").label == "fedavg, knn"


def test_methods_are_picked_in_the_order_asked_for(make_comparison):
    comparison = read_comparison(make_comparison())
    picked = comparison.pick("logmel", ["local-knn", "fedavg", "embedding-sharing"])
    assert [entry.method for entry in picked] == ["local-knn", "embedding-sharing"]
    with pytest.raises(
        InputError, match="fedavg: none was compared with encoder 'logmel'; there are embedding-sharing"
    ):
        comparison.pick("logmel", ["fedavg"])


def test_worst_machine_is_that_of_the_lowest_mean(make_folder, make_comparison):
    folder = make_comparison()
    scores = folder / "cells" / "local-knn-logmel-knn-0" / "scores.csv"
    lines = scores.read_text().splitlines(keepends=True)
    worse = [line.replace('"5.0"', '"-1.0"') if '"fan","01"' in line else line for line in lines]
    scores.write_text("".join(worse))
    comparison = read_comparison(folder)
    assert comparison.worst_machine(comparison.entries[1]) == "fan/01"
    assert comparison.entries[1].auc_of("fan/01").mean == 8 / 16  # the norm_ratio fault has become the most normal clip


def test_folder_that_is_no_comparison_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"table\.csv: not the table of a comparison .*collab-asd compare"):
        read_comparison(tmp_path)
    (tmp_path / "table.csv").write_text("method,encoder\n")
    with pytest.raises(InputError, match="has no encoder, folder, method, scorer, state"):
        read_comparison(tmp_path)


def test_comparison_without_a_finished_run_is_refused(make_comparison):
    table = make_comparison() / "table.csv"
    table.write_text(table.read_text().replace(",finished,", ",begun,"))
    with pytest.raises(InputError, match="no run of this comparison is finished"):
        read_comparison(table.parent)


def test_runs_on_other_clips_are_refused(make_comparison):
    with pytest.raises(InputError, match="do not belong on one page"):
        read_comparison(make_comparison(clips="b"))
