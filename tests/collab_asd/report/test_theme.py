import pytest
from matplotlib.lines import Line2D

from collab_asd.report.theme import add_legend, chart, panels


def drawn_legend(figure):
    figure.draw_without_rendering()
    return figure.legends[0]


@pytest.mark.parametrize("length", [3, 40, 200])
def test_a_legend_is_never_cut_off(length):
    figure, axes = chart(4.7, 1.5)
    axes.plot([0, 1])
    add_legend(figure, [Line2D([], [], label=f"{i} {'plant ' * (length // 6)}") for i in range(4)], "upper left", 4)
    box = drawn_legend(figure).get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    assert axes.get_window_extent().height > 50  # pixels: the figure has grown, not the axes shrunk


def test_entries_that_fill_up_columns_are_left_out_of_one_column():
    figure, _ = panels(1, 2.0)
    entries = [Line2D([], [], label=label) for label in ("x" * 150, " ", "y" * 150, "z")]
    add_legend(figure, entries, most_columns=2)
    shown = [text.get_text().replace("\n", "") for text in drawn_legend(figure).get_texts()]
    assert shown == ["x" * 150, "y" * 150, "z"]
