"""Tables, figures and words of a comparison."""

import csv
import io
from dataclasses import replace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from collab_asd.experiments.page import auc_against_bytes, auc_dots, story, verdict
from collab_asd.experiments.tables import (
    CellResult,
    comparison_sheet,
    machine_sheet,
    row_values,
    summarize_rows,
    terminal_table,
    with_interval,
    write_csv,
)
from collab_asd.report.comparison import Estimate
from collab_asd.report.theme import chart, plain_numbers


def cells(method, scorer, aucs, sent=2e6):
    return [
        CellResult(method, "logmel", scorer, seed, auc, auc, 0.5, 0.1, sent, 3.0, {"fan/00": auc, "fan/01": None})
        for seed, auc in enumerate(aucs)
    ]


@pytest.fixture
def rows():
    """Return rows with intervals: t(0.975, 1) = 12.706, two values that differ by 2 d reach 12.706 d to both sides."""
    return summarize_rows(
        [
            *cells("embedding-sharing", "fusion", [0.70, 0.72]),
            *cells("local-knn", "knn", [0.60, 0.62], sent=1e4),
            *cells("local-mahalanobis", "mahalanobis", [0.80, 0.84], sent=1e4),
        ],
        "fusion",
    )


def test_rows_of_the_sheet(rows):
    sheet = comparison_sheet(rows)
    assert sheet.headings[:4] == ("method", "encoder", "AUC", "minus sharing")
    assert [row[0] for row in sheet.rows] == ["embedding-sharing, fusion", "local-knn", "local-mahalanobis"]
    assert sheet.rows[0][2:] == (
        "0.710 ± 0.127",
        "–",
        "0.014",
        "0.710 ± 0.127",
        "0.500",
        "0.100",
        "2.00",
        "3.0",
        "2",
    )
    assert sheet.rows[1][3] == "−0.100 ± 0.000"
    assert sheet.rows[2][3] == "+0.110 ± 0.127"
    assert not sheet.bold  # its interval holds zero
    bold = comparison_sheet([*rows[:2], replace(rows[2], leads=True)])
    assert bold.bold == {2}
    assert r"\textbf{+0.110 $\pm$ 0.127}" in bold.latex()
    assert r" $-$0.100 $\pm$ 0.000 & " in sheet.latex()


def test_without_embedding_sharing_nothing_is_measured_against_it():
    rows = summarize_rows([*cells("fedavg", "fusion", [0.7, 0.72]), *cells("local-knn", "knn", [0.6, 0.62])], "fusion")
    sheet = comparison_sheet(rows)
    assert not {"minus sharing", "clips to settle"} & set(sheet.headings)
    assert sheet.rows[1][2] == "0.610 ± 0.127"
    assert {len(row) for row in sheet.rows} == {len(sheet.headings)}


def test_rows_measured_on_too_few_clips_are_marked(rows):
    few = [replace(row, marks=("*", "+")) if row.method == "local-knn" else row for row in rows]
    sheet, by_machine = comparison_sheet(few), machine_sheet(few)
    assert [row[-1] for row in sheet.rows] == ["", "*+", ""]
    assert [row[-1] for row in by_machine.rows] == ["", "*", ""]
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    console.print(terminal_table(sheet, "title", console))
    assert sheet.footnote.split(";")[0] in screen.getvalue()


def test_machine_without_auc_is_a_dash(rows):
    assert machine_sheet(rows).rows[1] == ("local-knn", "logmel", "0.610 ± 0.127", "–")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (Estimate(0.5, None, None, 1), "+0.500"),
        (Estimate(-0.0625, 0.1, 0.25, 3), "−0.062 ± 0.250"),
    ],
)
def test_an_interval_in_words(value, text):
    assert with_interval(value, "+") == text


def test_csv_has_all_digits_and_the_ends_of_the_interval(rows):
    values = row_values(rows[2])
    assert values["auc_mean"] == pytest.approx(0.82)
    assert values["auc_low"] == pytest.approx(0.82 - 12.706205 * 0.02)
    assert values["auc_high"] == 1  # 0.82 + 12.706205 * 0.02 is more
    assert values["auc_minus_embedding_sharing_mean"] == pytest.approx(0.11)
    assert (values["is_best"], values["beats_embedding_sharing"], values["seeds"]) == (True, False, "0 1")
    assert row_values(rows[0])["auc_minus_embedding_sharing_mean"] is None


def test_csv_has_the_columns_of_all_lines(tmp_path):
    write_csv(tmp_path / "t.csv", [{"a": 1, "error": "x"}, {"a": 2, "b": 3, "error": ""}])
    with (tmp_path / "t.csv").open() as file:
        assert list(csv.reader(file)) == [["a", "b", "error"], ["1", "", "x"], ["2", "3", ""]]


@pytest.mark.parametrize(
    ("width", "shown", "hidden"), [(160, ["std", "pAUC", "n"], []), (80, ["AUC", "MB sent"], ["std", "pAUC"])]
)
def test_a_narrow_terminal_gets_fewer_columns_but_whole_numbers(rows, width, shown, hidden):
    console = Console(width=width, file=io.StringIO())
    console.print(terminal_table(comparison_sheet(rows), "title", console))
    text = console.file.getvalue()
    header = text.splitlines()[2].split()
    assert "+0.110 ± 0.127" in text
    assert "…" not in text
    assert all(word.split()[0] in header for word in shown)
    assert not any(word in header for word in hidden)


def test_words_say_what_is_best_and_whether_it_may_be_chance(rows):
    assert verdict(rows).startswith("Best is local-mahalanobis with the encoder logmel")
    assert "in 82 of 100 cases" in verdict(rows)
    (sentence,) = story(rows)
    assert sentence.endswith("Above it: local-mahalanobis: +0.110 ± 0.127 (may be chance).")
    (certain,) = story(
        summarize_rows(cells("embedding-sharing", "fusion", [0.7, 0.7]) + cells("m", "s", [0.8, 0.81]), "fusion")
    )
    assert "(more than chance)" in certain
    (single,) = story(summarize_rows(cells("embedding-sharing", "fusion", [0.7]) + cells("m", "s", [0.8]), "fusion"))
    assert "(one seed cannot tell from chance)" in single
    (alone,) = story(summarize_rows(cells("embedding-sharing", "fusion", [0.7]), "fusion"))
    assert alone.endswith("Nothing was compared with it.")


def test_figures_show_every_row(rows):
    dots = auc_dots(rows).axes[0]
    assert [label.get_text() for label in dots.get_yticklabels()] == [
        "logmel",
        "embedding-sharing, fusion",
        "local-knn",
        "local-mahalanobis",
    ]
    assert [text.get_text() for text in dots.texts] == ["0.710", "0.610", "0.820"]
    points = [
        tuple(line.get_xydata()[0]) for line in auc_against_bytes(rows).axes[0].lines if line.get_marker() in "osD"
    ]
    assert points == [pytest.approx(p) for p in [(2.0, 0.71), (0.01, 0.61), (0.01, 0.82)]]


@pytest.mark.parametrize("most", [0.02, 3.0, 5000.0])
def test_numbers_of_a_logarithmic_axis_are_no_formulas(most):
    """The page's style parses none; over less than a decade, matplotlib labels small ticks with them, too."""
    figure, axes = chart(4.0, 3.0)
    axes.plot([0.01, most], [0.0, 1.0])
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    FigureCanvasAgg(figure).draw()
    words = [label.get_text() for label in axes.get_xticklabels(which="both")]
    assert any(words)
    assert not any("$" in word for word in words)


def test_without_labels_there_is_nothing_to_draw():
    rows = summarize_rows(cells("local-knn", "knn", [None, None]), "fusion")
    assert auc_dots(rows) is None
    assert auc_against_bytes(rows) is None
    assert "cannot be said" in verdict(rows)
    sheet = comparison_sheet(rows)
    assert sheet.headings[2:] == ("AUC", "ID acc.", "FAR", "MB sent", "s", "n")
    assert sheet.rows[0][2:4] == ("–", "0.500")
